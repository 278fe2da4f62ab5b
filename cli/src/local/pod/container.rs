//! One container: its process, started again when it ends, and what its probes say of it.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::Instant;

use super::plan::{ContainerPlan, Restart};
use super::probe::Target;
use super::process::Process;
use super::status::{Board, State};
use super::{Orders, Place};

/// The pause before a container is started again; doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A container that ran so long has earned the first pause again.
const GOOD_RUN: Duration = Duration::from_secs(120);

/// How a run of the process came to its end.
enum Ending {
    Exited(ExitStatus),
    Unhealthy(String),
    Stopped(Duration),
    Failed(io::Error),
}

/// Runs a container until it has done its work or is told to stop; its last exit code, if it had one.
pub(super) async fn run(
    plan: ContainerPlan,
    place: Place,
    mut orders: Orders,
    board: Arc<Board>,
) -> Option<i32> {
    let mut pause = FIRST_PAUSE;
    loop {
        let start = Instant::now();
        let ending = match Process::start(&plan.surroundings, &plan.command, &plan.log) {
            Ok(process) => run_process(&plan, &place, &mut orders, &board, process).await,
            Err(error) => Ending::Failed(error),
        };
        let (code, reason) = match ending {
            Ending::Stopped(_) => {
                board.change(&plan.name, |it| it.set(State::Waiting, "stopped"));
                return None;
            }
            Ending::Exited(status) => {
                let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
                (code, format!("ended with {status}"))
            }
            Ending::Unhealthy(reason) => (128 + Signal::SIGKILL as i32, reason),
            Ending::Failed(error) => (127, format!("cannot be started: {error}")),
        };
        let again = match plan.restart {
            Restart::Always => true,
            Restart::OnFailure => code != 0,
            Restart::Never => false,
        };
        if !again {
            let reason = if code == 0 { "" } else { &reason };
            board.change(&plan.name, |it| it.set(State::Ended { code }, reason));
            return Some(code);
        }
        if start.elapsed() >= GOOD_RUN {
            pause = FIRST_PAUSE;
        }
        let reason = format!("{reason}; starts again in {} s, see its log", pause.as_secs());
        board.change(&plan.name, |it| it.set(State::Waiting, &reason));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = orders.stopped() => return None,
        }
        board.change(&plan.name, |it| it.restarts += 1);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn run_process(
    plan: &ContainerPlan,
    place: &Place,
    orders: &mut Orders,
    board: &Board,
    mut process: Process,
) -> Ending {
    let pid = process.pid();
    board.change(&plan.name, |it| it.set(State::Running { pid }, ""));
    let target = Target { place, surroundings: &plan.surroundings };
    let ending = tokio::select! {
        status = process.wait() => status.map_or_else(Ending::Failed, Ending::Exited),
        reason = watch_health(plan, &target, board) => Ending::Unhealthy(reason),
        grace = orders.stopped() => Ending::Stopped(grace),
    };
    board.change(&plan.name, |it| {
        it.ready = false;
        it.started = false;
    });
    let grace = match ending {
        Ending::Stopped(grace) => grace.min(plan.grace),
        _ => plan.grace,
    };
    match process.end(grace).await {
        Ok(()) => ending,
        Err(error) => Ending::Failed(error),
    }
}

/// Keeps the board up to date; returns why the container has to be started anew.
async fn watch_health(plan: &ContainerPlan, target: &Target<'_>, board: &Board) -> String {
    if let Some(startup) = &plan.startup
        && let Err(reason) = startup.wait_success(target).await
    {
        return format!("its startup probe failed: {reason}");
    }
    board.change(&plan.name, |it| it.started = true);
    let readiness = async {
        let tell = |outcome| board.change(&plan.name, |it| it.set_ready(outcome));
        match &plan.readiness {
            Some(probe) => probe.follow(target, tell).await,
            None => {
                tell(Ok(()));
                std::future::pending().await
            }
        }
    };
    let liveness = async {
        match &plan.liveness {
            Some(probe) => probe.wait_failure(target).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        never = readiness => match never {},
        reason = liveness => format!("its liveness probe failed: {reason}"),
    }
}

impl super::status::ContainerStatus {
    fn set(&mut self, state: State, reason: &str) {
        self.state = state;
        reason.clone_into(&mut self.reason);
    }

    fn set_ready(&mut self, outcome: Result<(), String>) {
        self.ready = outcome.is_ok();
        self.reason = outcome.err().map(|reason| format!("not ready: {reason}")).unwrap_or_default();
    }
}
