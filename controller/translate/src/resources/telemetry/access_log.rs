//! Which requests are logged, and how.

use mesh_model::{AccessLog, LogEncoding, LogFilter};

use super::{FOR_CLIENTS, is_for_servers, log_filter};
use crate::cluster::Cluster;
use crate::objects::{AccessLogEncoding, AccessLogging};
use crate::resources::provider_service;

/// The provider that is there without being configured.
const BUILT_IN: &str = "envoy";
const STDOUT: &str = "/dev/stdout";

/// What has been said so far.
#[derive(Default)]
pub(super) enum LogWishes {
    /// As the mesh has it.
    #[default]
    Inherited,
    Off,
    On(AccessLog),
}

impl LogWishes {
    pub(super) fn add(
        &mut self,
        cluster: &Cluster,
        wished: &AccessLogging,
        path: &str,
        problems: &mut Vec<String>,
    ) {
        if !is_for_servers(wished.matches.as_ref().map(|it| it.mode).unwrap_or_default()) {
            return problems.push(format!("{path}.match.mode: {FOR_CLIENTS}"));
        }
        if wished.disabled == Some(true) {
            *self = LogWishes::Off;
            return;
        }
        let mut encoding = None;
        for (at, provider) in wished.providers.iter().enumerate() {
            match find(cluster, &provider.name) {
                Ok((found, problem)) => {
                    encoding = Some(found);
                    problems.extend(problem.map(|it| format!("{path}.providers[{at}].name: {it}")));
                }
                Err(problem) => problems.push(format!("{path}.providers[{at}].name: {problem}")),
            }
        }
        if wished.providers.is_empty() {
            encoding = match self {
                LogWishes::On(log) => Some(log.encoding),
                _ => inherited(cluster),
            };
            if encoding.is_none() {
                let message = "none is named and the mesh has no default; nothing is logged";
                problems.push(format!("{path}.providers: {message}"));
            }
        }
        let filter = wished.filter.as_ref().map(|it| it.expression.as_str()).filter(|it| !it.is_empty());
        let filter = match filter.map(log_filter::parse) {
            None => LogFilter::default(),
            Some(Ok(filter)) => filter,
            Some(Err(problem)) => {
                problems.push(format!("{path}.filter.expression: {problem}; every request is logged"));
                LogFilter::default()
            }
        };
        *self = match encoding {
            Some(encoding) => LogWishes::On(AccessLog { encoding, filter }),
            None => LogWishes::Off,
        };
    }

    pub(super) fn settle(self, cluster: &Cluster) -> Option<AccessLog> {
        match self {
            LogWishes::On(log) => Some(log),
            LogWishes::Off => None,
            LogWishes::Inherited => {
                let encoding = inherited(cluster)?;
                Some(AccessLog { encoding, filter: LogFilter::default() })
            }
        }
    }
}

fn inherited(cluster: &Cluster) -> Option<LogEncoding> {
    let reporting = &cluster.mesh.reporting;
    let names = &reporting.default_providers.access_logging;
    if names.is_empty() {
        return (!reporting.access_log_file.is_empty()).then(|| usual(cluster));
    }
    names.iter().find_map(|name| find(cluster, name).ok()).map(|(encoding, _)| encoding)
}

fn usual(cluster: &Cluster) -> LogEncoding {
    match cluster.mesh.reporting.access_log_encoding {
        AccessLogEncoding::Text => LogEncoding::Text,
        AccessLogEncoding::Json => LogEncoding::Json,
    }
}

/// How a provider logs, and what of it is not as configured; or why it does not log.
fn find(cluster: &Cluster, name: &str) -> Result<(LogEncoding, Option<String>), String> {
    let Some(provider) = cluster.mesh.find_provider(name) else {
        return match name {
            BUILT_IN => Ok((usual(cluster), None)),
            _ => Err(provider_service::unknown(cluster, name)),
        };
    };
    let Some(file) = &provider.envoy_file_access_log else {
        return Err(format!(
            "extension provider {name:?} is no envoyFileAccessLog; waypoints log nowhere else"
        ));
    };
    if !["", STDOUT].contains(&file.path.as_str()) {
        return Err(format!(
            "extension provider {name:?} logs to {:?}; only {STDOUT} is possible",
            file.path
        ));
    }
    let format = file.log_format.clone().unwrap_or_default();
    let problem = (format.text.is_some() || format.labels.is_some()).then(|| {
        format!("the logFormat of extension provider {name:?} is not supported; lines have the usual fields")
    });
    let encoding = if format.labels.is_some() { LogEncoding::Json } else { usual(cluster) };
    Ok((encoding, problem))
}
