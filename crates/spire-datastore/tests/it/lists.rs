use spire_datastore::{Code, ListEntries};
use spire_types::{MatchBehavior, Page};

use crate::support::{Fixture, bundle, entry, id, selectors, td};

async fn paths(f: &Fixture, request: &ListEntries) -> Vec<String> {
    let (entries, _) = f.store.list_entries(request).await.unwrap();
    assert_eq!(f.store.count_entries(request).await.unwrap(), entries.len() as u64);
    entries.iter().map(|entry| entry.spiffe_id.path().to_owned()).collect()
}

#[tokio::test]
async fn selector_matches_mean_what_the_sheet_says() {
    // SA-029, SA-358
    let f = Fixture::new().await;
    for (path, own) in
        [("/a", &["x:1"][..]), ("/ab", &["x:1", "x:2"]), ("/abc", &["x:1", "x:2", "x:3"]), ("/d", &["x:4"])]
    {
        f.store.create_entry(&entry(path, own)).await.unwrap();
    }
    for (behavior, wanted, expected) in [
        (MatchBehavior::Exact, &["x:2", "x:1"][..], &["/ab"][..]),
        (MatchBehavior::Subset, &["x:1", "x:2"], &["/a", "/ab"]),
        (MatchBehavior::Superset, &["x:1", "x:2"], &["/ab", "/abc"]),
        (MatchBehavior::Any, &["x:3", "x:4"], &["/abc", "/d"]),
        (MatchBehavior::Any, &["x:9"], &[]),
    ] {
        let request = ListEntries { by_selectors: Some((selectors(wanted), behavior)), ..Default::default() };
        assert_eq!(paths(&f, &request).await, expected, "{behavior:?} {wanted:?}");
    }
    let empty = ListEntries { by_selectors: Some((Vec::new(), MatchBehavior::Any)), ..Default::default() };
    let error = f.store.list_entries(&empty).await.unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (Code::InvalidArgument, "cannot list by empty selector set")
    );
}

#[tokio::test]
async fn federation_matches_mean_what_the_sheet_says() {
    // SA-030
    let f = Fixture::new().await;
    for name in ["one.org", "two.org", "three.org"] {
        f.store.create_bundle(&bundle(name)).await.unwrap();
    }
    for (path, with) in [
        ("/none", &[][..]),
        ("/1", &["one.org"]),
        ("/12", &["one.org", "two.org"]),
        ("/123", &["one.org", "two.org", "three.org"]),
    ] {
        let mut entry = entry(path, &["x:1"]);
        entry.federates_with = with.iter().map(|name| td(name)).collect();
        f.store.create_entry(&entry).await.unwrap();
    }
    for (behavior, wanted, expected) in [
        (MatchBehavior::Exact, &["two.org", "one.org", "one.org"][..], &["/12"][..]),
        (MatchBehavior::Subset, &["one.org", "two.org"], &["/1", "/12"]),
        (MatchBehavior::Superset, &["one.org", "two.org"], &["/12", "/123"]),
        (MatchBehavior::Any, &["three.org"], &["/123"]),
    ] {
        let wanted = wanted.iter().map(|name| td(name)).collect();
        let request = ListEntries { by_federates_with: Some((wanted, behavior)), ..Default::default() };
        assert_eq!(paths(&f, &request).await, expected, "{behavior:?}");
    }
}

#[tokio::test]
async fn a_filter_may_name_more_than_a_thousand_things() {
    // SA-029, SA-030: SQLite refuses expressions that are a thousand deep
    let f = Fixture::new().await;
    f.store.create_bundle(&bundle("d7.org")).await.unwrap();
    let mut seven = entry("/seven", &["x:7"]);
    seven.federates_with = vec![td("d7.org")];
    f.store.create_entry(&seven).await.unwrap();
    f.store.create_entry(&entry("/none", &["x:none"])).await.unwrap();
    let texts: Vec<String> = (0..1100).map(|n| format!("x:{n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let domains: Vec<_> = (0..1100).map(|n| td(&format!("d{n}.org"))).collect();
    for (behavior, expected) in [
        (MatchBehavior::Exact, &[][..]),
        (MatchBehavior::Superset, &[]),
        (MatchBehavior::Subset, &["/seven"]),
        (MatchBehavior::Any, &["/seven"]),
    ] {
        let by_selectors = Some((selectors(&texts), behavior));
        let by_federates_with = Some((domains.clone(), behavior));
        for request in [
            ListEntries { by_selectors: by_selectors.clone(), ..Default::default() },
            // Another condition leads.
            ListEntries { by_selectors, by_spiffe_id: Some(id("/seven")), ..Default::default() },
            ListEntries { by_federates_with, ..Default::default() },
        ] {
            assert_eq!(paths(&f, &request).await, expected, "{behavior:?}");
        }
    }
}

#[tokio::test]
async fn conditions_are_anded() {
    // SA-066, SA-067
    let f = Fixture::new().await;
    for (path, parent, hint, downstream) in
        [("/a", "/p", "h", true), ("/a", "/q", "h", false), ("/b", "/p", "", true), ("/c", "/p", "h", false)]
    {
        let mut entry = entry(path, &["x:1"]);
        (entry.parent_id, entry.hint, entry.downstream) = (id(parent), hint.into(), downstream);
        f.store.create_entry(&entry).await.unwrap();
    }
    let base = ListEntries::default;
    for (request, expected) in [
        (ListEntries { by_spiffe_id: Some(id("/a")), ..base() }, &["/a", "/a"][..]),
        (ListEntries { by_spiffe_id: Some(id("/a")), by_parent_id: Some(id("/p")), ..base() }, &["/a"]),
        (ListEntries { by_parent_id: Some(id("/p")), by_hint: Some("h".into()), ..base() }, &["/a", "/c"]),
        (ListEntries { by_hint: Some(String::new()), ..base() }, &["/a", "/a", "/b", "/c"]),
        (ListEntries { by_downstream: Some(true), ..base() }, &["/a", "/b"]),
        (ListEntries { by_downstream: Some(false), ..base() }, &["/a", "/a", "/b", "/c"]),
    ] {
        assert_eq!(paths(&f, &request).await, expected, "{request:?}");
    }
}

#[tokio::test]
async fn the_rarest_condition_leads_and_the_others_still_hold() {
    // SA-029, SA-358
    let f = Fixture::new().await;
    for n in 0..40 {
        let mut entry =
            entry(&format!("/w{n}"), &["common:1", &format!("third:{}", n % 3), &format!("own:{n}")]);
        (entry.parent_id, entry.hint) = (id(&format!("/p{}", n % 2)), format!("h{}", n % 4));
        f.store.create_entry(&entry).await.unwrap();
    }
    let by = |behavior, texts: &[&str]| Some((selectors(texts), behavior));
    let base = ListEntries::default;
    for (request, expected) in [
        (
            ListEntries { by_selectors: by(MatchBehavior::Superset, &["common:1", "own:7"]), ..base() },
            &["/w7"][..],
        ),
        (
            ListEntries {
                by_selectors: by(MatchBehavior::Exact, &["common:1", "third:1", "own:7"]),
                ..base()
            },
            &["/w7"],
        ),
        (ListEntries { by_selectors: by(MatchBehavior::Exact, &["common:1", "own:7"]), ..base() }, &[]),
        (
            ListEntries {
                by_parent_id: Some(id("/p1")),
                by_selectors: by(MatchBehavior::Any, &["own:6", "own:7"]),
                ..base()
            },
            &["/w7"],
        ),
        (
            ListEntries {
                by_parent_id: Some(id("/p0")),
                by_hint: Some("h2".into()),
                by_selectors: by(MatchBehavior::Superset, &["third:0"]),
                ..base()
            },
            &["/w6", "/w18", "/w30"],
        ),
        (
            ListEntries {
                by_spiffe_id: Some(id("/w5")),
                by_parent_id: Some(id("/p1")),
                by_selectors: by(MatchBehavior::Subset, &["common:1", "third:2", "own:5", "x:1"]),
                ..base()
            },
            &["/w5"],
        ),
    ] {
        assert_eq!(paths(&f, &request).await, expected, "{request:?}");
    }
}

async fn pages(f: &Fixture, mut request: ListEntries, size: u32) -> Vec<(Vec<String>, String)> {
    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        request.page = Some(Page { size, token });
        let (entries, next) = f.store.list_entries(&request).await.unwrap();
        pages.push((entries.iter().map(|entry| entry.spiffe_id.path().to_owned()).collect(), next.clone()));
        if next.is_empty() {
            return pages;
        }
        token = next;
    }
}

fn page(paths: &[&str], token: &str) -> (Vec<String>, String) {
    (paths.iter().map(|path| (*path).to_owned()).collect(), token.to_owned())
}

#[tokio::test]
async fn pages_end_with_an_empty_one_and_tokens_are_row_ids() {
    // SA-019, SA-404
    let f = Fixture::new().await;
    for path in ["/a", "/b", "/c", "/d"] {
        f.store.create_entry(&entry(path, &["x:1"])).await.unwrap();
    }
    assert_eq!(
        pages(&f, Default::default(), 2).await,
        [page(&["/a", "/b"], "2"), page(&["/c", "/d"], "4"), page(&[], "")]
    );
    let bad = ListEntries { page: Some(Page { size: 1, token: "x".into() }), ..Default::default() };
    assert_eq!(
        f.store.list_entries(&bad).await.unwrap_err().to_string(),
        "datastore-sql: rpc error: code = InvalidArgument desc = could not parse token 'x'"
    );
}

#[tokio::test]
async fn pages_of_which_nothing_matches_are_skipped_for_exact_selectors() {
    // SA-358
    let f = Fixture::new().await;
    for path in ["/a", "/b", "/c"] {
        f.store.create_entry(&entry(path, &["x:1", "x:2"])).await.unwrap();
    }
    f.store.create_entry(&entry("/only", &["x:1"])).await.unwrap();
    let request =
        ListEntries { by_selectors: Some((selectors(&["x:1"]), MatchBehavior::Exact)), ..Default::default() };
    assert_eq!(pages(&f, request, 1).await, [page(&["/only"], "4"), page(&[], "")]);
}

#[tokio::test]
async fn downstream_entries_are_found_beyond_pages_without_one() {
    // SA-068, unlike SPIRE
    let f = Fixture::new().await;
    for (path, downstream) in [("/a", true), ("/b", false), ("/c", false), ("/d", false), ("/e", true)] {
        let mut entry = entry(path, &["x:1"]);
        entry.downstream = downstream;
        f.store.create_entry(&entry).await.unwrap();
    }
    let request = ListEntries { by_downstream: Some(true), ..Default::default() };
    assert_eq!(pages(&f, request.clone(), 1).await, [page(&["/a"], "1"), page(&["/e"], "5"), page(&[], "")]);
    assert_eq!(f.store.count_entries(&request).await.unwrap(), 2);
}

#[tokio::test]
async fn rows_with_broken_ids_do_not_break_the_list() {
    // SA-070
    let f = Fixture::new().await;
    f.store.create_entry(&entry("/a", &["x:1"])).await.unwrap();
    f.store.create_entry(&entry("/b", &["x:1"])).await.unwrap();
    f.sql("UPDATE registered_entries SET spiffe_id = 'nonsense' WHERE id = 1").await;
    let (entries, _) = f.store.list_entries(&Default::default()).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(f.store.first_entry_spiffe_id().await.unwrap().as_deref(), Some("nonsense"));
    let (loaded, last) = f.store.load_entries(0, 10).await.unwrap().unwrap();
    assert_eq!((loaded.len(), last), (1, 2));
    assert!(f.store.load_entries(last, 10).await.unwrap().is_none());
}

#[tokio::test]
async fn many_ids_are_fetched_at_once() {
    // SA-357
    let f = Fixture::new().await;
    let batch: Vec<_> = (0..1200).map(|n| entry(&format!("/w{n}"), &["a:1"])).collect();
    let created = f.store.create_entries_batch(&batch).await;
    let mut ids: Vec<String> =
        created.iter().map(|created| created.as_ref().unwrap().entry.id.clone()).collect();
    ids.push("unknown".into());
    let fetched = f.store.fetch_entries(&ids).await.unwrap();
    assert_eq!(fetched.len(), 1200);
    assert!(fetched.iter().all(|entry| entry.selectors.len() == 1));
}
