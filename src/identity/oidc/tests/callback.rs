//! What a browser brings back, judged before anything is asked.

use super::*;

#[tokio::test]
async fn a_foreign_state_is_noticed_before_anything_else() {
    let org = Org::start().await;
    let provider = org.provider();
    for state in [None, Some(String::new()), Some("another".to_owned())] {
        let begun = org.begin(&provider).await.unwrap();
        let before = org.script.asked().len();
        let answer = Answer {
            state,
            error: Some("OAUTH_APP_BLOCKED".to_owned()),
            issuer: Some("https://evil.example".to_owned()),
            ..good_answer(&begun.attempt)
        };
        let outcome = provider.complete(begun.attempt, CALLBACK, answer, NOW).await;
        assert!(matches!(outcome, Err(Fault::BrowserMisbehaved(BrowserReason::StateMismatch))), "{outcome:?}");
        assert_eq!(org.script.asked().len(), before);
    }
}

#[tokio::test]
async fn an_attempt_without_state_matches_nothing() {
    let org = Org::start().await;
    let provider = org.provider();
    let mut attempt = org.begin(&provider).await.unwrap().attempt;
    attempt.state.clear();
    let answer = good_answer(&attempt);
    let outcome = provider.complete(attempt, CALLBACK, answer, NOW).await;
    assert!(matches!(outcome, Err(Fault::BrowserMisbehaved(BrowserReason::StateMismatch))), "{outcome:?}");
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_a_mix_up() {
    let org = Org::start().await;
    let provider = org.provider();
    let mut begun = org.begin(&provider).await.unwrap();
    let foreign = Answer { issuer: Some("https://evil.example".to_owned()), ..good_answer(&begun.attempt) };
    let outcome = provider.complete(begun.attempt, CALLBACK, foreign, NOW).await;
    assert!(matches!(outcome, Err(Fault::BrowserMisbehaved(BrowserReason::IssuerMismatch))), "{outcome:?}");
    begun = org.begin(&provider).await.unwrap();
    begun.attempt.provider = ProviderName("another".to_owned());
    let answer = good_answer(&begun.attempt);
    let outcome = provider.complete(begun.attempt, CALLBACK, answer, NOW).await;
    assert!(matches!(outcome, Err(Fault::BrowserMisbehaved(BrowserReason::IssuerMismatch))), "{outcome:?}");
    assert_eq!(org.script.count("/services/oauth2/token"), 0);
    begun = org.begin(&provider).await.unwrap();
    let ours = Answer { issuer: Some(org.issuer.clone()), ..good_answer(&begun.attempt) };
    provider.complete(begun.attempt, CALLBACK, ours, NOW).await.unwrap();
}

#[tokio::test]
async fn an_answer_without_a_code_is_the_browsers_fault() {
    let org = Org::start().await;
    let provider = org.provider();
    for code in [None, Some(String::new())] {
        let begun = org.begin(&provider).await.unwrap();
        let answer = Answer { code, ..good_answer(&begun.attempt) };
        let outcome = provider.complete(begun.attempt, CALLBACK, answer, NOW).await;
        assert!(matches!(outcome, Err(Fault::BrowserMisbehaved(BrowserReason::NoCode))), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_denial_on_the_callback_is_salesforces_refusal() {
    let org = Org::start().await;
    let provider = org.provider();
    let begun = org.begin(&provider).await.unwrap();
    let answer = Answer {
        error: Some("access_denied".to_owned()),
        error_description: Some("end-user denied\nauthorization".to_owned()),
        ..good_answer(&begun.attempt)
    };
    let Err(Fault::ProviderRefused { error, detail }) = provider.complete(begun.attempt, CALLBACK, answer, NOW).await
    else {
        panic!("a denial signed somebody in")
    };
    assert_eq!(error, SalesforceError::AccessDenied);
    assert_eq!(detail, "access_denied: end-user denied authorization");
    assert_eq!(org.script.count("/services/oauth2/token"), 0);
}
