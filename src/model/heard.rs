//! The words for what is heard of accounts besides probes.

use super::labels::described;

described! {
    /// What a report of a product was read as.
    ReportResult {
        Success = "success" => "The operation has succeeded. It ends a block of the same operation.",
        Blocked = "blocked" =>
            "The network blocks the operation, which no read shows. It counts as lost for a while.",
        Refused = "refused" =>
            "The token, a role, a permission or the account is refused, which a probe checks at once.",
        AppRefused = "app_refused" => "The network refuses the app, which a probe checks at once.",
        Content = "content" =>
            "What was sent is refused: a duplicate, too long, a wrong format. The connection works.",
        RateLimited = "rate_limited" => "A limit is reached.",
        Unavailable = "unavailable" => "There was no answer, or the network has a fault.",
        Unclassified = "unclassified" => "The answer is not recognised.",
        Repeated = "repeated" => "A report with the same id came before.",
        Outdated = "outdated" => "A newer report of the same operation came before.",
        Rejected = "rejected" => "The report has problems, which its sender is told.",
    }
}

described! {
    /// What became of a network's notice.
    EventResult {
        Applied = "applied" =>
            "The network states a loss plainly. It counted at once, and a probe is due.",
        ProbeDue = "probe_due" => "Something may have changed. A probe is due.",
        Ignored = "ignored" => "It is about no login, like the test of an address.",
        UnknownLogin = "unknown_login" =>
            "No credential of the app is known by the name in it, or none has been probed yet.",
        Repeated = "repeated" => "The same notice came before.",
        BadSignature = "bad_signature" =>
            "The signature is missing or wrong: it is not from the network, or the app's secret is another.",
        OtherApp = "other_app" => "It is signed, but for another app.",
        Malformed = "malformed" =>
            "It cannot be read, is larger than 64 KiB or has not arrived in ten seconds.",
        Outdated = "outdated" =>
            "It was written more than 72 hours ago, or more than 5 minutes in the future.",
        RateLimited = "rate_limited" => "Too many notices came at once.",
        Unavailable = "unavailable" =>
            "The app's secret or the network's keys could not be read. The network tries again.",
    }
}
