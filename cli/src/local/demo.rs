//! `adit local demo`: starts the bookshop and shows, with real requests, what a mesh does for it. Each line
//! says what was expected and what was seen.

mod access_log;
mod checks;
mod frames;
mod shop;
mod sniffer;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Args;

use super::mesh::Mesh;
use super::tools;
use checks::CHECKS;
use shop::Shop;

/// Start the bookshop and check, with real requests, what the mesh does for it
#[derive(Args, Debug)]
pub(super) struct Demo {
    /// Leave it running afterwards, with things to try
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(mesh: &Mesh, demo: &Demo) -> Result<ExitCode> {
    tools::check()?;
    let start = Instant::now();
    println!("A bookshop on two nodes, in two namespaces, one of them enrolled:\n");
    let shop = Shop::open(mesh, demo.keep)?;
    println!("\nWhat the mesh does for it:\n");
    let mut missed = 0;
    for (number, check) in CHECKS.iter().enumerate() {
        let result = (check.run)(&shop);
        let verdict = if result.is_ok() { "ok  " } else { "MISS" };
        missed += usize::from(result.is_err());
        let seen = result.unwrap_or_else(|error| format!("{error:#}"));
        println!("{verdict} {:2}. {}: expected {}; saw {seen}", number + 1, check.title, check.expected);
    }
    println!(
        "\n{} of {} as expected, in {:.0} s",
        CHECKS.len() - missed,
        CHECKS.len(),
        start.elapsed().as_secs_f64()
    );
    if demo.keep {
        print_things_to_try(mesh);
    }
    shop.close()?;
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_things_to_try(mesh: &Mesh) {
    let adit = format!("adit local --name {mesh}");
    println!(
        "\nThe bookshop is still open. Things to try:\n\
         \x20 {adit} get pods                  who runs where; also services, workloads, gateways, routes\n\
         \x20 {adit} exec productpage -- adit echo call -n 20 http://reviews:9080/\n\
         \x20 {adit} exec productpage -- curl -s http://localhost:9080/     the page with all it calls\n\
         \x20 {adit} exec -n legacy till -- adit echo call http://details.bookshop:9080/   denied\n\
         \x20 {adit} delete authorizationpolicy details -n bookshop      now it is not\n\
         \x20 {adit} logs -f ztunnel-node-2   every connection with both identities\n\
         \x20 edit {}   and see it take effect\n\
         \x20 {adit} down",
        mesh.manifests().join("httproute.bookshop.reviews.yaml").display()
    );
}
