//! The filters of a rule or a backend of an HTTPRoute.

use std::sync::Arc;

use gateway_api::experimental::httproutes::{
    HttpRouteRulesFilters, HttpRouteRulesFiltersRequestMirror as RequestMirror,
    HttpRouteRulesFiltersRequestRedirect as RequestRedirect,
    HttpRouteRulesFiltersRequestRedirectPathType as RedirectPathType,
    HttpRouteRulesFiltersRequestRedirectScheme as Scheme, HttpRouteRulesFiltersType as FilterType,
    HttpRouteRulesFiltersUrlRewrite as UrlRewrite,
    HttpRouteRulesFiltersUrlRewritePathType as RewritePathType,
};
use mesh_model::{
    Backend, Cors, HeaderChange, Mirror, PathChange, PerMillion, PortDerivation, Redirect, Rewrite,
};

use super::backend::Reference;
use crate::cluster::Cluster;
use crate::resources::cors;
use crate::resources::problem::{Problem, Reason};

/// What the filters of one list add up to.
#[derive(Default)]
pub(super) struct Filters {
    pub(super) request_headers: HeaderChange,
    pub(super) response_headers: HeaderChange,
    pub(super) rewrite: Option<Rewrite>,
    pub(super) redirect: Option<Redirect>,
    pub(super) mirrors: Vec<Mirror>,
    pub(super) cors: Option<Cors>,
    /// One of them cannot be applied, so no request may pass.
    pub(super) unusable: bool,
}

impl Filters {
    pub(super) fn translate(
        cluster: &Cluster,
        namespace: &str,
        listed: &[HttpRouteRulesFilters],
        path: &str,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut filters = Filters::default();
        for (at, filter) in listed.iter().enumerate() {
            let path = format!("{path}.filters[{at}]");
            if let Some(mirror) = &filter.request_mirror {
                match translate_mirror(cluster, namespace, mirror) {
                    Ok(mirror) => filters.mirrors.push(mirror),
                    // A copy that cannot be sent is no reason to fail the original.
                    Err((reason, message)) => {
                        let path = format!("{path}.requestMirror.backendRef");
                        problems.push(Problem::new(path, reason, format!("{message}; nothing is mirrored")));
                    }
                }
            } else if let Err(message) = filters.add(filter) {
                filters.unusable = true;
                let message = format!("{message}; its requests get status 500");
                problems.push(Problem::new(path, Reason::InvalidFilter, message));
            }
        }
        filters
    }

    /// Adds a filter other than a mirror, or says why it cannot be applied.
    fn add(&mut self, filter: &HttpRouteRulesFilters) -> Result<(), String> {
        match &filter.r#type {
            FilterType::RequestHeaderModifier => {
                let it = filter.request_header_modifier.as_ref().ok_or_else(|| empty(filter))?;

                let change = &mut self.request_headers;
                change.set.extend(it.set.iter().flatten().map(|it| pair(&it.name, &it.value)));
                change.add.extend(it.add.iter().flatten().map(|it| pair(&it.name, &it.value)));
                change.remove.extend(it.remove.iter().flatten().map(|it| lower(it)));
            }
            FilterType::ResponseHeaderModifier => {
                let it = filter.response_header_modifier.as_ref().ok_or_else(|| empty(filter))?;
                let change = &mut self.response_headers;
                change.set.extend(it.set.iter().flatten().map(|it| pair(&it.name, &it.value)));
                change.add.extend(it.add.iter().flatten().map(|it| pair(&it.name, &it.value)));
                change.remove.extend(it.remove.iter().flatten().map(|it| lower(it)));
            }
            FilterType::RequestRedirect => {
                let it = filter.request_redirect.as_ref().ok_or_else(|| empty(filter))?;
                self.redirect = Some(translate_redirect(it));
            }
            FilterType::UrlRewrite => {
                let it = filter.url_rewrite.as_ref().ok_or_else(|| empty(filter))?;
                self.rewrite = Some(translate_rewrite(it));
            }
            FilterType::Cors => {
                let it = filter.cors.as_ref().ok_or_else(|| empty(filter))?;
                self.cors = Some(cors::of_filter(it));
            }
            FilterType::RequestMirror => return Err(empty(filter)),
            other @ (FilterType::ExtensionRef | FilterType::ExternalAuth) => {
                return Err(format!("filters of type {other:?} are not supported by this release"));
            }
        }
        Ok(())
    }
}

fn empty(filter: &HttpRouteRulesFilters) -> String {
    format!("a filter of type {:?} needs the field of that name", filter.r#type)
}

fn lower(name: &str) -> Arc<str> {
    name.to_ascii_lowercase().into()
}

fn pair(name: &str, value: &str) -> (Arc<str>, Arc<str>) {
    (lower(name), value.into())
}

fn translate_redirect(written: &RequestRedirect) -> Redirect {
    let path = written.path.as_ref().map(|path| match path.r#type {
        RedirectPathType::ReplaceFullPath => full(path.replace_full_path.as_deref()),
        RedirectPathType::ReplacePrefixMatch => prefix(path.replace_prefix_match.as_deref()),
    });
    let scheme = written.scheme.as_ref().map(|scheme| match scheme {
        Scheme::Http => Arc::from("http"),
        Scheme::Https => Arc::from("https"),
    });
    Redirect {
        status: written.status_code.and_then(|code| u16::try_from(code).ok()).unwrap_or(302),
        scheme,
        host: written.hostname.as_deref().map(Arc::from),
        port: written.port.and_then(|port| u16::try_from(port).ok()),
        port_derivation: PortDerivation::FromListener,
        path,
    }
}

fn translate_rewrite(written: &UrlRewrite) -> Rewrite {
    let path = written.path.as_ref().map(|path| match path.r#type {
        RewritePathType::ReplaceFullPath => full(path.replace_full_path.as_deref()),
        RewritePathType::ReplacePrefixMatch => prefix(path.replace_prefix_match.as_deref()),
    });
    Rewrite { authority: written.hostname.as_deref().map(Arc::from), path }
}

fn full(text: Option<&str>) -> PathChange {
    PathChange::Full(text.unwrap_or("/").into())
}

fn prefix(text: Option<&str>) -> PathChange {
    PathChange::Prefix(text.unwrap_or("/").into())
}

fn translate_mirror(
    cluster: &Cluster,
    namespace: &str,
    written: &RequestMirror,
) -> Result<Mirror, (Reason, String)> {
    let target = Reference::from(&written.backend_ref).resolve(cluster, namespace)?;
    let backend = Backend {
        target,
        weight: 1,
        request_headers: HeaderChange::default(),
        response_headers: HeaderChange::default(),
    };
    let share = match (&written.fraction, written.percent) {
        (Some(it), _) => share(it.numerator, it.denominator.unwrap_or(100)),
        (None, Some(percent)) => share(percent, 100),
        (None, None) => PerMillion::ALL,
    };
    Ok(Mirror { backend, share })
}

/// Nonsense counts as nothing: a copy too few harms less than a copy too many.
fn share(numerator: i32, denominator: i32) -> PerMillion {
    let (numerator, denominator) = (i64::from(numerator.max(0)), i64::from(denominator.max(1)));
    let millionths = (numerator * 1_000_000 / denominator).min(1_000_000);
    PerMillion(u32::try_from(millionths).unwrap_or(0))
}
