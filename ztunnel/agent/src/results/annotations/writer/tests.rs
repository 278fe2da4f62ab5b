//! Tests of `writer`.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use super::super::Annotations;
use super::*;
use crate::fake_api::client;
use crate::pod;
use crate::results::Outcome;

fn outcome(redirection: Redirection) -> Outcome {
    Outcome { redirection, message: String::new(), namespace: None }
}

#[tokio::test]
async fn what_is_taken_back_at_the_end_is_written_after_what_is_under_way() {
    let (told, mut writes) = mpsc::unbounded_channel();
    // The API server is slow: it answers when it is let.
    let answers = Arc::new(Semaphore::new(0));
    let client = {
        let answers = answers.clone();
        let answer = move |call: crate::fake_api::Call| {
            let (answers, told) = (answers.clone(), told.clone());
            async move {
                told.send(call.body["metadata"]["annotations"][REDIRECTION].clone()).unwrap();
                answers.acquire().await.unwrap().forget();
                (200, json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" } }))
            }
        };
        client(answer).await
    };
    let (annotations, writer) = Annotations::new(client, "n1");
    let record = json!({ "uid": "1", "name": "web", "namespace": "shop" }).to_string();
    annotations.learn(&[("1".to_owned(), pod::parse(record.as_bytes()).unwrap())].into());
    let (end, ending) = oneshot::channel();
    let writing = tokio::spawn(writer.run(ending));
    annotations.set(&"1".to_owned(), outcome(Redirection::Enabled));
    assert_eq!(writes.recv().await.unwrap(), "enabled");
    // The mesh leaves while that is under way.
    annotations.set(&"1".to_owned(), outcome(Redirection::None));
    end.send(()).unwrap();
    assert!(writes.try_recv().is_err(), "one after the other");
    answers.add_permits(1);
    assert_eq!(writes.recv().await.unwrap(), Value::Null);
    assert!(!writing.is_finished(), "it is not written before it is answered");
    answers.add_permits(1);
    writing.await.unwrap();
}

#[tokio::test]
async fn a_writer_that_has_nothing_to_write_ends_at_once() {
    let client = client(|_| async { unreachable!("nothing is written") }).await;
    let (_annotations, writer) = Annotations::new(client, "n1");
    let (end, ending) = oneshot::channel();
    end.send(()).unwrap();
    writer.run(ending).await;
}
