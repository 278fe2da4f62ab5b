//! What the client does with resources: one handler per type URL.

use prost::Message;

/// A resource as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawResource {
    /// The name, unique within its type.
    pub name: String,
    /// Opaque; announced when the stream is opened again.
    pub version: String,
    /// The encoded message.
    pub bytes: Vec<u8>,
}

/// A resource that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which.
    pub name: String,
    /// Why; ends up in the controller's log.
    pub reason: String,
}

/// Takes the resources of one type.
pub trait Handler: Send + 'static {
    /// The type.
    fn type_url(&self) -> &'static str;

    /// Takes one response: what is new or changed and the names that are gone
    /// (possibly of resources never seen, when an on-demand name leads nowhere).
    /// Applies everything that is valid and returns the rest; a rejected
    /// resource leaves what was known under its name in place (SEC-08).
    fn apply(&mut self, upserts: Vec<RawResource>, removed: Vec<String>) -> Vec<Rejected>;
}

/// A handler that decodes messages of type `T` before its closure sees them:
/// `apply(upserts by name, removed names) -> rejected`.
pub struct Typed<T, F> {
    type_url: &'static str,
    apply: F,
    message: std::marker::PhantomData<fn() -> T>,
}

impl<T, F> Typed<T, F>
where
    T: Message + Default + 'static,
    F: FnMut(Vec<(String, T)>, Vec<String>) -> Vec<Rejected> + Send + 'static,
{
    /// A handler of `type_url`.
    pub fn new(type_url: &'static str, apply: F) -> Self {
        Typed { type_url, apply, message: std::marker::PhantomData }
    }
}

impl<T, F> Handler for Typed<T, F>
where
    T: Message + Default + 'static,
    F: FnMut(Vec<(String, T)>, Vec<String>) -> Vec<Rejected> + Send + 'static,
{
    fn type_url(&self) -> &'static str {
        self.type_url
    }

    fn apply(&mut self, upserts: Vec<RawResource>, removed: Vec<String>) -> Vec<Rejected> {
        let mut decoded = Vec::with_capacity(upserts.len());
        let mut rejected = Vec::new();
        for RawResource { name, bytes, .. } in upserts {
            match T::decode(bytes.as_slice()) {
                Ok(message) => decoded.push((name, message)),
                Err(error) => rejected.push(Rejected { name, reason: error.to_string() }),
            }
        }
        rejected.extend((self.apply)(decoded, removed));
        rejected
    }
}
