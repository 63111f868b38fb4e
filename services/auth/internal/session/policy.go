package session

import (
	"slices"
	"time"
)

// Policy is what a token must say to be accepted.
type Policy struct {
	// Issuer is the instance's frontend API address, compared whole. Required.
	Issuer string
	// AuthorizedParties are the origins that may ask for tokens; when there are any, azp must be one of them.
	AuthorizedParties []string
	// TemplateAudience is the audience of the JWT template whose tokens, which carry no session, are accepted; empty
	// for none.
	TemplateAudience string
	// AllowPending accepts sessions with tasks left (sts: pending).
	AllowPending bool
}

// judge checks every claim. It needs no key, so a hopeless token costs neither a signature check nor a fetch of keys.
func (p Policy) judge(c *claims, now time.Time) (*Session, error) {
	checks := []func(*claims, time.Time) error{p.identity, p.period, p.party, p.status}
	for _, check := range checks {
		if err := check(c, now); err != nil {
			return nil, err
		}
	}
	return newSession(c)
}

func (p Policy) identity(c *claims, _ time.Time) error {
	switch {
	case text(c.Issuer) != p.Issuer:
		return refuse(VerdictIssuer, "")
	case text(c.Subject) == "":
		return refuse(VerdictMissingClaim, "sub")
	case c.Expires == nil:
		return refuse(VerdictMissingClaim, "exp")
	case c.Issued == nil:
		return refuse(VerdictMissingClaim, "iat")
	case text(c.SessionID) != "":
		return nil
	case !p.template(c):
		return refuse(VerdictMissingClaim, "sid")
	case c.UserID != "" && string(c.UserID) != *c.Subject:
		// The template's own userId: a token must not name two users. A session's userId may be the application's id, so
		// it is not compared.
		return refuse(VerdictClaims, "userId is not sub")
	}
	return nil
}

// template reports whether the token comes from the JWT template that the settings name. A session's token is accepted
// whatever its audience is: some of Clerk's integrations stamp one on every session token.
func (p Policy) template(c *claims) bool {
	return p.TemplateAudience != "" && slices.Contains(c.Audience, p.TemplateAudience)
}

func (p Policy) period(c *claims, now time.Time) error {
	switch {
	case !now.Before(c.Expires.time().Add(Leeway)):
		return refuse(VerdictExpired, "")
	case now.Add(Leeway).Before(c.Issued.time()):
		return refuse(VerdictFuture, "")
	case c.NotBefore != nil && now.Add(Leeway).Before(c.NotBefore.time()):
		return refuse(VerdictNotYetValid, "")
	case !c.Expires.time().After(c.Issued.time()):
		return refuse(VerdictClaims, "exp is not after iat")
	}
	return nil
}

func (p Policy) party(c *claims, _ time.Time) error {
	if len(p.AuthorizedParties) == 0 || slices.Contains(p.AuthorizedParties, string(c.Party)) {
		return nil
	}
	if c.Party == "" {
		return refuse(VerdictMissingClaim, "azp")
	}
	return refuse(VerdictParty, "")
}

// status fails closed: a status that is not known to be good is not.
func (p Policy) status(c *claims, _ time.Time) error {
	switch text(c.Status) {
	case "", "active":
		return nil
	case "pending":
		if p.AllowPending {
			return nil
		}
		return refuse(VerdictPending, "")
	default:
		return refuse(VerdictPending, "sts is unknown")
	}
}

func newSession(c *claims) (*Session, error) {
	version := 1
	if c.Version != nil {
		version = *c.Version
	}
	if version != 1 && version != 2 {
		return nil, refuse(VerdictVersion, "")
	}
	org, err := c.organization(version)
	if err != nil {
		return nil, err
	}
	s := &Session{
		UserID: *c.Subject, ID: text(c.SessionID), Version: version, AuthorizedParty: string(c.Party),
		IssueTime: c.Issued.time(), ExpireTime: c.Expires.time(),
		Organization: org, Pending: text(c.Status) == "pending",
		Factors: Factors{First: Never, Second: Never},
		Plans:   words(string(c.Plans)), Features: words(string(c.Features)),
		Profile: Profile{Email: string(c.Email), FirstName: string(c.FirstName), LastName: string(c.LastName)},
	}
	if c.Factors != nil {
		s.Factors = Factors{First: c.Factors[0], Second: c.Factors[1]}
	}
	s.Actor, err = c.actor()
	if err != nil {
		return nil, err
	}
	s.ActorUnknown = s.ID == "" && len(c.Actor) == 0
	return s, nil
}
