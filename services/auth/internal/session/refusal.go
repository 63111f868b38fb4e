package session

// Verdict is why a token was refused, for logs and metrics. The caller never sees it.
type Verdict string

// The verdicts on a session token.
const (
	VerdictAccepted     Verdict = "accepted"
	VerdictTooLarge     Verdict = "too_large"
	VerdictMalformed    Verdict = "malformed"
	VerdictAlgorithm    Verdict = "algorithm"
	VerdictTokenType    Verdict = "token_type"
	VerdictClaims       Verdict = "claims_malformed"
	VerdictMissingClaim Verdict = "claim_missing"
	VerdictVersion      Verdict = "version"
	VerdictIssuer       Verdict = "issuer"
	VerdictExpired      Verdict = "expired"
	VerdictNotYetValid  Verdict = "not_yet_valid"
	VerdictFuture       Verdict = "issued_in_future"
	VerdictParty        Verdict = "authorized_party"
	VerdictPending      Verdict = "pending"
	VerdictUnknownKey   Verdict = "unknown_key"
	VerdictSignature    Verdict = "signature"
)

// Refusal says why a token is invalid. Its text names claims, never their values.
type Refusal struct {
	// Verdict is the kind of fault.
	Verdict Verdict
	// Detail says more, for the log; may be empty.
	Detail string
}

// Error returns the verdict and the detail.
func (r *Refusal) Error() string {
	text := "session token refused: " + string(r.Verdict)
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	return text
}

func refuse(v Verdict, detail string) error { return &Refusal{Verdict: v, Detail: detail} }
