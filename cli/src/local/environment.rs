//! The environment of a container: literal values, `$(NAME)` references, fields of the pod, ConfigMaps
//! and Secrets, and the variables that name the services of its namespace.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, Pod};

use super::data::Data;

/// What fields of a pod and references to other objects are read from.
pub(super) struct Surroundings<'a> {
    pub(super) pod: &'a Pod,
    /// Of the pod's node.
    pub(super) host: Ipv4Addr,
    pub(super) data: &'a Data,
    /// Variables that come before the container's own.
    pub(super) services: BTreeMap<String, String>,
}

/// The container's variables; the error says which is missing.
pub(super) fn variables(
    container: &Container,
    surroundings: &Surroundings<'_>,
) -> Result<BTreeMap<String, String>, String> {
    let mut variables = surroundings.services.clone();
    let namespace = surroundings.pod.metadata.namespace.as_deref().unwrap_or_default();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let (kind, name, optional) = match (&source.config_map_ref, &source.secret_ref) {
            (Some(map), _) => ("ConfigMap", &map.name, map.optional),
            (None, Some(secret)) => ("Secret", &secret.name, secret.optional),
            (None, None) => continue,
        };
        match surroundings.data.find(kind, namespace, name) {
            Some(entries) => {
                variables.extend(entries.iter().map(|(key, value)| (format!("{prefix}{key}"), value.clone())))
            }
            None if optional == Some(true) => {}
            None => {
                return Err(format!(
                    "{kind} {namespace}/{name}, which its environment needs, does not exist"
                ));
            }
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(variable, surroundings, &variables)? {
            variables.insert(variable.name.clone(), value);
        }
    }
    Ok(variables)
}

fn value(
    variable: &EnvVar,
    surroundings: &Surroundings<'_>,
    known: &BTreeMap<String, String>,
) -> Result<Option<String>, String> {
    match &variable.value_from {
        Some(source) => {
            sourced(source, surroundings).map_err(|reason| format!("variable {}: {reason}", variable.name))
        }
        None => Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), known))),
    }
}

fn sourced(source: &EnvVarSource, surroundings: &Surroundings<'_>) -> Result<Option<String>, String> {
    if let Some(field) = &source.field_ref {
        return field_of(surroundings, &field.field_path).map(Some);
    }
    let (kind, name, key, optional) = match (&source.config_map_key_ref, &source.secret_key_ref) {
        (Some(map), _) => ("ConfigMap", &map.name, &map.key, map.optional),
        (None, Some(secret)) => ("Secret", &secret.name, &secret.key, secret.optional),
        // Limits and requests are not enforced here: 0, as Kubernetes has it for what is not limited.
        (None, None) if source.resource_field_ref.is_some() => return Ok(Some("0".to_owned())),
        (None, None) => return Err("valueFrom names no source that is known here".to_owned()),
    };
    let namespace = surroundings.pod.metadata.namespace.as_deref().unwrap_or_default();
    let found = surroundings.data.find(kind, namespace, name).and_then(|entries| entries.get(key));
    match found {
        Some(value) => Ok(Some(value.clone())),
        None if optional == Some(true) => Ok(None),
        None => Err(format!("{kind} {namespace}/{name} has no key {key:?}")),
    }
}

/// A field of the pod, by the paths that Kubernetes allows here.
fn field_of(surroundings: &Surroundings<'_>, path: &str) -> Result<String, String> {
    let (metadata, spec) = (&surroundings.pod.metadata, surroundings.pod.spec.as_ref());
    let address = || surroundings.pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    let value = match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => {
            let account = spec.and_then(|spec| spec.service_account_name.clone());
            Some(account.unwrap_or_else(|| "default".to_owned()))
        }
        "status.hostIP" | "status.hostIPs" => Some(surroundings.host.to_string()),
        "status.podIP" | "status.podIPs" => address(),
        _ => {
            let entry = |prefix: &str| path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']");
            let (entries, key) = match (entry("metadata.labels"), entry("metadata.annotations")) {
                (Some(key), _) => (metadata.labels.as_ref(), key),
                (None, Some(key)) => (metadata.annotations.as_ref(), key),
                (None, None) => return Err(format!("there is no field {path:?} to take a value from")),
            };
            entries.and_then(|entries| entries.get(key)).cloned()
        }
    };
    Ok(value.unwrap_or_default())
}

/// Replaces `$(NAME)` by the variable's value; `$$` is a dollar sign, and an unknown name stays as it is.
pub(super) fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let reference = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        rest = match (after.strip_prefix('$'), reference) {
            (Some(after), _) => {
                expanded.push('$');
                after
            }
            (None, Some((name, following))) => {
                match variables.get(name) {
                    Some(value) => expanded.push_str(value),
                    None => expanded.push_str(&format!("$({name})")),
                }
                following
            }
            (None, None) => {
                expanded.push('$');
                after
            }
        };
    }
    expanded + rest
}

/// `NAME_SERVICE_HOST` and `NAME_SERVICE_PORT`, as Kubernetes names a namespace's services.
pub(super) fn service_variables<'a>(
    services: impl Iterator<Item = (&'a str, Ipv4Addr, Vec<(Option<&'a str>, i32)>)>,
) -> BTreeMap<String, String> {
    let upper = |name: &str| name.to_ascii_uppercase().replace('-', "_");
    let mut variables = BTreeMap::new();
    for (name, address, ports) in services {
        let name = upper(name);
        variables.insert(format!("{name}_SERVICE_HOST"), address.to_string());
        for (n, (port_name, port)) in ports.iter().enumerate() {
            if n == 0 {
                variables.insert(format!("{name}_SERVICE_PORT"), port.to_string());
            }
            if let Some(port_name) = port_name {
                variables.insert(format!("{name}_SERVICE_PORT_{}", upper(port_name)), port.to_string());
            }
        }
    }
    variables
}

#[cfg(test)]
mod tests;
