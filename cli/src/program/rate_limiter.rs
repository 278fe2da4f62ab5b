//! `adit rate-limiter`. Flags stand above the environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

/// Questions are short and wait for Redis.
const THREADS: usize = 2;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A file of limits, or a directory of such files; without it, only limits that questions bring with them are known
    #[arg(long, value_name = "PATH", env = "RATE_LIMITS")]
    limits: Option<PathBuf>,
    /// Where the counts are: redis://[user:password@]host:port[/database]
    #[arg(
        long,
        value_name = "URL",
        env = "REDIS_URL",
        hide_env_values = true,
        default_value = "redis://127.0.0.1:6379"
    )]
    redis: String,
    /// Where it is asked, by gRPC
    #[arg(long, value_name = "ADDRESS", env = "RATE_LIMITER_ADDRESS", default_value = "[::]:8081")]
    address: SocketAddr,
    /// Where it says that it is ready, under /healthz/ready, and what it has decided, under /metrics
    #[arg(long, value_name = "ADDRESS", env = "RATE_LIMITER_READINESS_ADDRESS", default_value = "[::]:8080")]
    readiness_address: SocketAddr,
}

/// Runs the rate limiter.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let Arguments { limits, redis, address, readiness_address } = arguments;
    let settings = ratelimit::Settings { address, readiness_address, redis, limits };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    runtime.block_on(ratelimit::run(settings))
}
