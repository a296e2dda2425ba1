//! Every seed of the fuzzing targets goes through the checks that the fuzzer makes: they hold for all that is known,
//! and the targets under `fuzz/` keep compiling.

#[expect(unreachable_pub, reason = "the fuzzing package's library")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use targets::seeds::Target;

#[test]
fn the_fuzzers_checks_hold_for_every_seed() {
    for target in Target::all() {
        let seeds = target.seeds();
        assert!(seeds.len() >= 5, "{}: where would its search begin?", target.name());
        for seed in seeds {
            let checked = std::panic::catch_unwind(|| target.check(&seed));
            assert!(checked.is_ok(), "{}: {}", target.name(), String::from_utf8_lossy(&seed));
        }
        assert!(target.dictionary().lines().count() > 10);
    }
}
