//! Rules and routes of one namespace, told to the kernel.

use std::io;

use futures_util::TryStreamExt as _;
use mesh_net::namespace::Namespace;
use nix::errno::Errno;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::{Error, Handle, IpVersion};

/// A connection to the kernel's routing inside one namespace.
pub(super) struct Netlink {
    handle: Handle,
    driver: tokio::task::JoinHandle<()>,
}

impl Netlink {
    pub(super) fn open(namespace: &Namespace) -> io::Result<Self> {
        let (connection, handle, _notifications) = namespace.run(rtnetlink::new_connection)?;
        Ok(Self { handle, driver: tokio::spawn(connection) })
    }

    /// All rules of a family; none where the kernel has no such family.
    pub(super) async fn rules(&self, version: IpVersion) -> io::Result<Vec<RuleMessage>> {
        match self.handle.rule().get(version).execute().try_collect().await {
            Ok(rules) => Ok(rules),
            Err(error) => ignore(Err(error), Errno::EAFNOSUPPORT).map(|()| Vec::new()),
        }
    }

    pub(super) async fn add_rule(&self, rule: RuleMessage) -> io::Result<()> {
        let mut request = self.handle.rule().add();
        *request.message_mut() = rule;
        ignore(request.execute().await, Errno::EEXIST)
    }

    pub(super) async fn remove_rule(&self, rule: RuleMessage) -> io::Result<()> {
        ignore(self.handle.rule().del(rule).execute().await, Errno::ENOENT)
    }

    pub(super) async fn add_route(&self, route: RouteMessage) -> io::Result<()> {
        ignore(self.handle.route().add(route).replace().execute().await, Errno::EEXIST)
    }

    pub(super) async fn remove_route(&self, route: RouteMessage) -> io::Result<()> {
        self.has_removed(route).await.map(|_| ())
    }

    /// Removes every route that is like this one.
    pub(super) async fn remove_routes(&self, like: RouteMessage) -> io::Result<()> {
        while self.has_removed(like.clone()).await? {}
        Ok(())
    }

    /// False if there was none.
    async fn has_removed(&self, route: RouteMessage) -> io::Result<bool> {
        let outcome = self.handle.route().del(route).execute().await;
        let removed = outcome.is_ok();
        ignore(outcome, Errno::ESRCH).map(|()| removed)
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// `result`, where `expected` says that there is nothing to do.
fn ignore(result: Result<(), Error>, expected: Errno) -> io::Result<()> {
    match result {
        Ok(()) => Ok(()),
        Err(Error::NetlinkError(message)) if message.raw_code() == -(expected as i32) => Ok(()),
        Err(Error::NetlinkError(message)) => Err(message.to_io()),
        Err(error) => Err(io::Error::other(error)),
    }
}
