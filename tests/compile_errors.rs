//! What `#[task]` and `crontab!` say to those who get them wrong. The messages are pinned with the
//! compiler's own; to renew them, run with `TRYBUILD=overwrite`, and read each one.

#[test]
fn every_mistake_is_explained_where_it_is() {
    trybuild::TestCases::new().compile_fail("tests/compile_errors/*.rs");
}
