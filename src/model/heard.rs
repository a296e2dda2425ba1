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
