//! Bodies that are read once and sent several times.

use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};

use super::*;

type Frames = Vec<Result<Frame<Bytes>, BoxError>>;
type TestBody = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, BoxError>>>>;

fn source(frames: Frames) -> (BodySource<TestBody>, Arc<AtomicU64>) {
    let received = Arc::new(AtomicU64::new(0));
    (BodySource::new(StreamBody::new(stream::iter(frames)), received.clone()), received)
}

fn data(text: &'static str) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn trailers() -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())])))
}

async fn read(body: RequestBody<TestBody>) -> (String, bool) {
    let whole = body.collect().await.unwrap();
    let with_trailers = whole.trailers().is_some();
    (String::from_utf8(whole.to_bytes().to_vec()).unwrap(), with_trailers)
}

#[tokio::test]
async fn res_14_each_attempt_has_all_of_it() {
    let (source, received) = source(vec![data("one "), data("two"), trailers()]);
    for _ in 0..3 {
        assert!(source.can_be_opened_again());
        assert_eq!(read(source.open()).await, ("one two".to_owned(), true));
    }
    assert_eq!(received.load(Ordering::Relaxed), 7, "counted once");
    assert_eq!(source.whole().await.unwrap(), "one two");
}

#[tokio::test]
async fn res_14_an_attempt_given_up_halfway_loses_nothing() {
    let (source, _) = source(vec![data("one "), data("two "), data("three")]);
    let mut first = source.open();
    let frame = first.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "one ");
    let second = source.open();
    assert!(first.frame().await.unwrap().is_err(), "the first has been superseded");
    assert_eq!(read(second).await, ("one two three".to_owned(), false));
}

#[tokio::test]
async fn res_14_what_is_too_large_is_sent_once() {
    let part: &'static str = Box::leak("x".repeat(MOST_KEPT / 2 + 1).into_boxed_str());
    let (source, received) = source(vec![data(part), data(part), data("end")]);
    let (all, _) = read(source.open()).await;
    assert_eq!(all.len(), 2 * part.len() + 3);
    assert_eq!(received.load(Ordering::Relaxed), all.len() as u64);
    assert!(!source.can_be_opened_again());
    assert!(source.whole().await.is_err());
    assert!(source.open().frame().await.unwrap().is_err());
}

#[tokio::test]
async fn a_body_of_known_length_ends_after_its_last_byte() {
    for length in [10, MOST_KEPT, MOST_KEPT + 1] {
        let whole = Bytes::from(vec![b'x'; length]);
        let source = BodySource::new(Full::new(whole.clone()), Arc::default());
        let copy = source.whole();
        let mut body = source.open();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), whole);
        // Nobody has asked for what follows the last byte, but it is clear already.
        assert_eq!(copy.await.ok(), (length <= MOST_KEPT).then_some(whole));
        assert!(body.frame().await.is_none(), "{length}");
        assert!(body.frame().await.is_none(), "{length}");
    }
}

#[tokio::test]
async fn res_15_copies_do_not_wait_for_what_never_comes() {
    let (broken, _) = source(vec![data("one"), Err("broke off".into())]);
    assert!(broken.open().collect().await.is_err());
    assert!(broken.whole().await.is_err());
    assert!(!broken.can_be_opened_again());

    let (abandoned, _) = source(vec![data("one"), data("two")]);
    let whole = abandoned.whole();
    abandoned.open().frame().await.unwrap().unwrap();
    drop(abandoned);
    assert!(whole.await.is_err());

    let (complete, _) = source(vec![data("one"), data("two")]);
    let whole = complete.whole();
    complete.open().collect().await.unwrap();
    assert_eq!(whole.await.unwrap(), "onetwo");
}

#[tokio::test]
async fn a_body_that_is_none_can_be_sent_for_ever() {
    let received = Arc::new(AtomicU64::new(0));
    let source = BodySource::new(Full::<Bytes>::default(), received);
    for _ in 0..2 {
        let body = source.open();
        assert!(body.is_end_stream() && matches!(body, RequestBody::Empty));
    }
    assert!(source.can_be_opened_again());
    assert_eq!(source.whole().await.unwrap(), "");
}
