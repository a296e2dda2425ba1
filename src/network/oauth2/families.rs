//! Providers whose errors are numbers: one table, by the shape of the answer and the number.
//!
//! Texts are often Chinese or Russian, so the number decides; the text counts only where the same
//! number means several things. A number without a row is not recognised.

use serde_json::Value;

use crate::model::{AppProblem, Cause, Reason};
use crate::network::{Reading, parse, standard};

use Cause::{RateLimited, ServerError, UnexpectedAnswer};
use Means::{Cause as Says, Reason as Is, Token};
use Reason::{
    AccessRevoked, AccountDeactivated, AccountUnconfirmed, MissingPermission, MissingRole, PasswordChanged,
    ReauthRequired, TokenExpired,
};

/// What a number means.
#[derive(Clone, Copy)]
enum Means {
    /// The token is dead; the text may say why.
    Token,
    /// The network states the reason.
    Reason(Reason),
    /// Nothing about the token.
    Cause(Cause),
}

/// The app is refused, not the login.
const APP: Cause = Cause::AppMisconfigured(AppProblem::Unknown);

/// Numbers, a text that must stand beside them (empty: any), and what they mean. The first row that
/// matches counts.
type Row = (&'static [i64], &'static str, Means);

struct Family {
    /// The number, if the answer has the family's shape.
    number: fn(&Value) -> Option<i64>,
    rows: &'static [Row],
}

#[rustfmt::skip] // a row each
static FAMILIES: &[Family] = &[
    // WeChat: "Global return codes" (developers.weixin.qq.com), w7corp/easywechat issue 2759,
    // node-webot/co-wechat-api pull request 99, Eric-Guo/wechat issue 230. WeCom: "Global error codes"
    // (developer.work.weixin.qq.com), NotFound403/wecom-sdk issue 22; 60020 is about addresses.
    // DingTalk: satorijs/satori issue 240. 42007 is a changed password at WeChat (weixin4j
    // WeixinSupport.java), an expired code at WeCom.
    Family { number: |json| field(json, &["errcode"]), rows: &[
        (&[40001, 40014], "", Token),
        (&[42001, 42009], "", Is(TokenExpired)),
        (&[42007], "pre_auth_code", Says(UnexpectedAnswer)),
        (&[42007], "", Is(PasswordChanged)),
        (&[48001, 50001, 60011], "", Is(MissingPermission)),
        (&[45009, 45011], "", Says(RateLimited)),
        (&[-1], "", Says(ServerError)),
        (&[60020, 61004], "", Says(APP)),
    ] },
    // Lark, Feishu: "Generic error codes" (open.feishu.cn), docs.rs/openlark (ErrorCode),
    // sipeed/picoclaw issue 1307. 99991661: no token arrived.
    Family { number: |json| field(json, &["code"]).filter(|_| has(json, "msg")), rows: &[
        (&[99_991_661], "", Says(UnexpectedAnswer)),
        (&[99_991_663, 99_991_664, 99_991_665, 99_991_668, 99_991_671], "", Token),
        (&[99_991_677], "", Is(TokenExpired)),
        (&[99_991_672, 99_991_676, 99_991_679], "", Is(MissingPermission)),
        (&[99_991_400], "", Says(RateLimited)),
        // Kakao: "Common error codes" (developers.kakao.com).
        (&[-401], "", Token),
        (&[-402], "", Is(MissingPermission)),
    ] },
    // VK: "Error codes" (dev.vk.com), deknowny/vkquick vkquick/api_error_codes.py, python273/vk_api
    // issue 503, jieggii/vktoken issue 3. A token may be bound to another address
    // (VKCOM/vk-android-sdk issue 449): 5 speaks of the token only in these words.
    Family { number: |json| field(json.get("error")?, &["error_code"]), rows: &[
        (&[5, 1117], "expired", Is(TokenExpired)),
        (&[5, 1117], "revoke", Is(AccessRevoked)),
        (&[5, 1117], "invalid", Token),
        (&[5], "", Says(UnexpectedAnswer)),
        (&[6, 9, 29], "", Says(RateLimited)),
        (&[7, 15], "", Is(MissingPermission)),
        (&[10], "", Says(ServerError)),
        (&[17], "", Is(ReauthRequired)),
        (&[18], "", Is(AccountDeactivated)),
        (&[28], "", Says(APP)),
    ] },
    // Weibo: "Error code" (open.weibo.com/wiki), SeniorZhai/QingTing WBAuthErrorCode.java.
    Family { number: |json| field(json, &["error_code"]).filter(|_| has(json, "error")), rows: &[
        (&[21314, 21316, 21317, 21332], "", Token),
        (&[21315, 21327], "", Is(TokenExpired)),
        (&[21319], "", Is(AccessRevoked)),
    ] },
    // Baidu: "Error codes" (ai.baidu.com), binary-husky/gpt_academic issue 2162.
    Family { number: |json| field(json, &["error_code"]).filter(|_| has(json, "error_msg")), rows: &[
        (&[110], "", Token),
        (&[111], "", Is(TokenExpired)),
        (&[4, 17, 18, 19], "", Says(RateLimited)),
    ] },
    // Baidu netdisk: "Error codes" (pan.baidu.com/union), baidu-netdisk/bdpan-storage issue 40.
    Family { number: |json| field(json, &["errno"]), rows: &[(&[-6], "", Token)] },
    // Douyin: "Error codes" (developer.open-douyin.com), XiaoFeng.DouYin AccessTokenErrorCode.
    Family { number: douyin, rows: &[
        (&[2_190_002, 28_001_003], "", Token),
        (&[2_190_008, 28_001_008], "", Is(TokenExpired)),
        (&[2_190_003, 2_190_004], "", Is(MissingPermission)),
    ] },
    // Flickr, and Remember The Milk: flickr.com/services/api/flickr.test.login.
    Family { number: |json| field(json, &["code"]).filter(|_| json["stat"] == "fail"), rows: &[
        (&[98], "", Token),
        (&[99], "", Is(MissingPermission)),
        (&[105], "", Says(ServerError)),
    ] },
    // Bilibili: SocialSisterYi/bilibili-API-collect, biliup/biliup issue 375.
    Family { number: |json| field(json, &["code"]).filter(|_| has(json, "ttl")), rows: &[
        (&[-101], "", Token),
    ] },
    // QQ: "Return codes" (wiki.connect.qq.com).
    Family { number: |json| field(json, &["error"]).filter(|_| has(json, "error_description")), rows: QQ },
    Family { number: |json| field(json, &["ret"]).filter(|_| has(json, "msg")), rows: QQ },
    // TikTok Shop: EcomPHP/tiktokshop-php pull request 15, phamkhanhminhman97/shopee-tiktok-lazada-api
    // issue 2.
    Family { number: |json| field(json, &["code"]).filter(|_| has(json, "request_id")), rows: &[
        (&[36_004_001, 105_002], "", Is(TokenExpired)),
        (&[36_004_005], "", Is(AccessRevoked)),
    ] },
    // Discord: "Opcodes and status codes" (docs.discord.com). The texts make sure that it is Discord's.
    Family { number: |json| field(json, &["code"]).filter(|_| has(json, "message")), rows: &[
        (&[0], "401: unauthorized", Token),
        (&[40001], "unauthorized", Token),
        (&[50014], "authentication token", Token),
        (&[50025], "access token", Token),
        (&[50026], "scope", Is(MissingPermission)),
        (&[50001], "missing access", Is(MissingRole)),
        (&[50013], "missing permissions", Is(MissingRole)),
        (&[40002], "verify your account", Is(AccountUnconfirmed)),
    ] },
];

static QQ: &[Row] = &[
    (&[100_013, 100_016], "", Token),
    (&[100_014], "", Is(TokenExpired)),
    (&[100_015], "", Is(AccessRevoked)),
    (&[100_045], "", Is(PasswordChanged)),
    (&[100_030], "", Is(MissingPermission)),
];

/// What the number in an answer means. `text` is all texts of the answer in lower case.
pub(super) fn read(json: &Value, text: &str) -> Option<Reading> {
    FAMILIES.iter().find_map(|family| {
        let number = (family.number)(json)?;
        let fits = |row: &&Row| row.0.contains(&number) && text.contains(row.1);
        Some(match family.rows.iter().find(fits)?.2 {
            Token => Reading::refused(standard::refusal(text)),
            Is(reason) => Reading::plain(reason),
            Says(cause) => Reading::undetermined(cause),
        })
    })
}

/// A whole number in one of these members; some gateways quote it.
fn field(json: &Value, names: &[&str]) -> Option<i64> {
    match names.iter().find_map(|name| json.get(*name))? {
        number @ Value::Number(_) => parse::integer(number),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn has(json: &Value, name: &str) -> bool {
    json.get(name).is_some()
}

fn douyin(json: &Value) -> Option<i64> {
    let inner = ["data", "extra"].iter().filter_map(|name| json.get(*name));
    inner.chain([json]).find_map(|place| field(place, &["error_code", "err_no"]).filter(|n| *n != 0))
}
