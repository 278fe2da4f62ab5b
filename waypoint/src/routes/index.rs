//! Finds the rules that may take a request without looking at all of them: each of their conditions is filed under
//! that of its demands which the fewest of them share.

use std::borrow::Cow;
use std::collections::HashMap;

use http::header::HeaderName;

use super::condition::{Condition, Demand, Subject, authority_of, find_header};

/// A condition, and where it stands: rules in their order, and in each rule its conditions in theirs.
pub(super) type Place = (u32, u32);

/// Conditions in their order.
type Bucket = Vec<Place>;

/// Where conditions are filed.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Paths as they are written, and in small letters for those who do not care.
    paths: [Paths; 2],
    hosts: HashMap<Box<str>, Bucket>,
    methods: HashMap<Box<str>, Bucket>,
    headers: HashMap<HeaderName, HashMap<Box<str>, Bucket>>,
    /// Those that have to be looked at for every request.
    others: Bucket,
}

/// Whole paths, and how paths begin.
#[derive(Debug, Default)]
struct Paths {
    whole: HashMap<Box<str>, Bucket>,
    beginnings: HashMap<Box<str>, Bucket>,
    /// How long these beginnings are, the shortest first.
    lengths: Vec<usize>,
}

/// The first condition that matches so far.
struct Search<T, F> {
    best: Option<(Place, T)>,
    test: F,
}

impl Index {
    /// Files conditions that are given in their order; none stands for one that takes every request.
    pub(super) fn new<'c>(conditions: impl Iterator<Item = (Place, Option<&'c Condition>)> + Clone) -> Index {
        let mut shared: HashMap<Demand<'_>, u32> = HashMap::new();
        for demand in conditions.clone().filter_map(|(_, condition)| condition).flat_map(Condition::demands) {
            *shared.entry(demand).or_default() += 1;
        }
        let mut index = Index::default();
        for (place, condition) in conditions {
            let demands = condition.into_iter().flat_map(Condition::demands);
            index.file(place, demands.min_by_key(|demand| shared.get(demand).copied()));
        }
        for paths in &mut index.paths {
            paths.lengths = paths.beginnings.keys().map(|text| text.len()).collect();
            paths.lengths.sort_unstable();
            paths.lengths.dedup();
        }
        index
    }

    fn file(&mut self, place: Place, demand: Option<Demand<'_>>) {
        let paths = &mut self.paths;
        let bucket = match demand {
            None => &mut self.others,
            Some(Demand::Path { text, folded }) => bucket(&mut paths[usize::from(folded)].whole, text),
            Some(Demand::Beginning { text, folded }) => {
                bucket(&mut paths[usize::from(folded)].beginnings, text)
            }
            Some(Demand::Host(text)) => bucket(&mut self.hosts, text.into()),
            Some(Demand::Method(text)) => bucket(&mut self.methods, text.into()),
            Some(Demand::Header(name, text)) => {
                bucket(self.headers.entry(name.clone()).or_default(), text.into())
            }
        };
        bucket.push(place);
    }

    /// The first condition, in their order, for which `test` has an answer. It is asked of those only that may match.
    pub(super) fn find<T>(
        &self,
        subject: Subject<'_>,
        test: impl FnMut(Place) -> Option<T>,
    ) -> Option<(Place, T)> {
        let mut search = Search { best: None, test };
        let head = subject.head;
        let [written, folded] = &self.paths;
        written.search(head.uri.path(), &mut search);
        if !folded.is_empty() {
            folded.search(&head.uri.path().to_ascii_lowercase(), &mut search);
        }
        search.look_up(&self.hosts, || authority_of(head));
        search.look_up(&self.methods, || head.method.as_str());
        if !self.headers.is_empty() {
            // A request has few headers, whatever rules ask for.
            for name in head.headers.keys() {
                let values = self.headers.get(name);
                let found = values.and_then(|values| values.get(&*find_header(head, name)?));
                search.look_at(found);
            }
        }
        search.look_at(Some(&self.others));
        search.best
    }
}

impl Paths {
    fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.beginnings.is_empty()
    }

    fn search<T, F: FnMut(Place) -> Option<T>>(&self, path: &str, search: &mut Search<T, F>) {
        search.look_up(&self.whole, || path);
        for length in self.lengths.iter().take_while(|length| **length <= path.len()) {
            search.look_at(path.get(..*length).and_then(|beginning| self.beginnings.get(beginning)));
        }
    }
}

impl<T, F: FnMut(Place) -> Option<T>> Search<T, F> {
    fn look_up<'t>(&mut self, filed: &HashMap<Box<str>, Bucket>, text: impl FnOnce() -> &'t str) {
        if !filed.is_empty() {
            self.look_at(filed.get(text()));
        }
    }

    /// Looks for a match before the best so far.
    fn look_at(&mut self, bucket: Option<&Bucket>) {
        for place in bucket.into_iter().flatten() {
            if self.best.as_ref().is_some_and(|(best, _)| best <= place) {
                return;
            }
            if let Some(found) = (self.test)(*place) {
                self.best = Some((*place, found));
                return;
            }
        }
    }
}

fn bucket<'f>(filed: &'f mut HashMap<Box<str>, Bucket>, text: Cow<'_, str>) -> &'f mut Bucket {
    filed.entry(text.into()).or_default()
}

#[cfg(test)]
mod tests;
