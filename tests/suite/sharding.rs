//! Which shard holds which credential.

use token_exporter::inventory::{Shard, ordinal_of};

fn holder(id: &str, total: u32) -> u32 {
    let holders: Vec<u32> =
        (0..total).filter(|o| Shard::new(*o, total).is_some_and(|s| s.holds(id))).collect();
    assert_eq!(holders.len(), 1, "{id} of {total}: {holders:?}");
    holders[0]
}

#[test]
fn everything_is_in_exactly_one_share_and_the_shares_are_equal() {
    for total in [1, 2, 3, 10] {
        let mut counts = vec![0_u32; total as usize];
        for i in 0..10_000 {
            counts[holder(&format!("credential-{i}"), total) as usize] += 1;
        }
        let fair = 10_000 / total;
        assert!(counts.iter().all(|c| c.abs_diff(fair) < fair / 5), "{counts:?}");
    }
}

#[test]
fn a_share_more_takes_its_own_and_nothing_else_moves() {
    let mut moved = 0;
    for i in 0..10_000 {
        let id = format!("credential-{i}");
        let (before, after) = (holder(&id, 4), holder(&id, 5));
        if before != after {
            assert_eq!(after, 4, "{id} moved between shares that stay");
            moved += 1;
        }
    }
    assert!((1_700..2_300).contains(&moved), "{moved}");
}

#[test]
fn shares_do_not_depend_on_the_version() {
    let holders: Vec<u32> =
        ["jane-facebook", "acme-x", "a", "b", "c"].iter().map(|id| holder(id, 7)).collect();
    assert_eq!(holders, [1, 2, 1, 5, 5]);
}

#[test]
fn what_is_no_share_or_no_pod_is_refused() {
    assert_eq!("2/3".parse::<Shard>().ok(), Shard::new(2, 3));
    for bad in ["", "3/3", "1", "1/", "/3", "-1/3", "0/0", "a/b", "0/3/1"] {
        assert!(bad.parse::<Shard>().is_err(), "{bad}");
    }
    assert_eq!((ordinal_of("token-exporter-12"), ordinal_of("a-0")), (Ok(12), Ok(0)));
    for bad in [
        "",
        "token-exporter",
        "3",
        "token-exporter-",
        "token-exporter-x1",
        "token-exporter-7d9f-abcde",
        "a-99999999999",
    ] {
        assert!(ordinal_of(bad).is_err(), "{bad}");
    }
}
