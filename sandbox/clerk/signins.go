package clerk

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

const (
	// emailCode is the only strategy that the sandbox has.
	emailCode = "email_code"
	// testCode is Clerk's code for test addresses; the sandbox accepts it for every address.
	testCode = "424242"
	// codeLife is how long a code is valid.
	codeLife = 10 * time.Minute
	// attemptLife is how long a sign-in or sign-up may take.
	attemptLife = 24 * time.Hour
)

// attempt is a sign-in or sign-up that a browser has begun.
type attempt struct {
	id         string
	email      string
	user       string // of a sign-in
	first      string // of a sign-up
	last       string
	code       string // that was sent; empty before
	tries      int64
	expireAt   int64 // of the code
	abandonAt  int64
	session    string // when it is complete
	newUser    string
	identifier string
}

// verification is the state of a code.
type verification struct {
	Object           string  `json:"object"`
	Status           string  `json:"status"`
	Strategy         *string `json:"strategy"` // null before a code was sent
	Attempts         int64   `json:"attempts"`
	ExpireAt         int64   `json:"expire_at"`
	VerifiedAtClient string  `json:"verified_at_client"`
	Error            *string `json:"error"`
}

func (a *attempt) verification() verification {
	v := verification{Object: "verification", Status: "unverified", Attempts: a.tries, ExpireAt: a.expireAt}
	if a.code != "" {
		v.Strategy = new(emailCode)
	}
	if a.session != "" {
		v.Status = "verified"
	}
	return v
}

// factor is a way to prove who signs in.
type factor struct {
	Strategy       string `json:"strategy"`
	EmailAddressID string `json:"email_address_id"`
	SafeIdentifier string `json:"safe_identifier"`
	Primary        bool   `json:"primary"`
}

type signInView struct {
	Object                   string          `json:"object"`
	ID                       string          `json:"id"`
	Status                   string          `json:"status"`
	SupportedIdentifiers     []string        `json:"supported_identifiers"`
	SupportedFirstFactors    []factor        `json:"supported_first_factors"`
	SupportedSecondFactors   []factor        `json:"supported_second_factors"`
	FirstFactorVerification  *verification   `json:"first_factor_verification"`
	SecondFactorVerification *verification   `json:"second_factor_verification"`
	Identifier               *string         `json:"identifier"`
	UserData                 *PublicUserData `json:"user_data"`
	CreatedSessionID         *string         `json:"created_session_id"`
	AbandonAt                int64           `json:"abandon_at"`
}

// viewSignIn shows an attempt. The lock is held.
func (f *Fake) viewSignIn(a *attempt) signInView {
	v := signInView{
		Object: "sign_in", ID: a.id, Status: "needs_identifier", SupportedIdentifiers: []string{"email_address"}, AbandonAt: a.abandonAt,
	}
	if u, ok := f.users.Get(a.user); ok {
		v.Status, v.Identifier, v.UserData = "needs_first_factor", &a.identifier, publicData(u)
		for _, e := range u.EmailAddresses {
			primary := u.PrimaryEmailAddressID != nil && *u.PrimaryEmailAddressID == e.ID
			v.SupportedFirstFactors = append(v.SupportedFirstFactors, factor{emailCode, e.ID, e.EmailAddress, primary})
		}
	}
	if a.code != "" {
		state := a.verification()
		v.FirstFactorVerification = &state
	}
	if a.session != "" {
		v.Status, v.CreatedSessionID = "complete", &a.session
	}
	return v
}

func (f *Fake) createSignIn(r *http.Request, b *browser) (any, error) {
	in, err := form(r)
	if err != nil {
		return nil, err
	}
	if s := in.Get("strategy"); s != "" && s != emailCode {
		return nil, errStrategy(s)
	}
	defer f.begin(r)()
	a := &attempt{id: f.ids.Next("sia_", 27), abandonAt: f.nowMs() + attemptLife.Milliseconds(), identifier: in.Get("identifier")}
	if a.identifier != "" {
		u, ok := f.users.Get(f.emails[strings.ToLower(a.identifier)])
		if !ok {
			return nil, &failure{http.StatusUnprocessableEntity, apiError{
				Message: "Couldn't find your account.", LongMessage: "Couldn't find your account.", Code: "form_identifier_not_found",
				Meta: map[string]any{"param_name": "identifier"},
			}}
		}
		if err := frontRefusal(u); err != nil {
			return nil, err
		}
		a.user, a.email = u.ID, a.identifier
	}
	if in.Get("strategy") == emailCode && a.user != "" {
		f.sendCode(a)
	}
	b.signIn = a
	return f.viewSignIn(a), f.saveClient(b)
}

// frontRefusal is signInRefusal in the form of the Frontend API.
func frontRefusal(u User) error {
	bad, ok := errors.AsType[*failure](u.signInRefusal())
	if !ok {
		return nil
	}
	message := "Your account " + bad.body.Message
	return &failure{http.StatusForbidden, apiError{Message: message, LongMessage: message, Code: bad.body.Code}}
}

func errStrategy(strategy string) error {
	message := "The sandbox supports the strategy " + emailCode + " only, not " + strategy + "."
	return &failure{http.StatusUnprocessableEntity, apiError{
		Message: message, LongMessage: message, Code: "strategy_for_user_invalid", Meta: map[string]any{"param_name": "strategy"},
	}}
}

// signInAttempt returns the browser's sign-in with the id of the path. The lock is held.
func (f *Fake) signInAttempt(r *http.Request, b *browser) (*attempt, error) {
	if b.signIn == nil || b.signIn.id != r.PathValue("id") || f.nowMs() >= b.signIn.abandonAt {
		return nil, notFound("sign in", r.PathValue("id"))
	}
	copied := *b.signIn
	return &copied, nil
}

func (f *Fake) getSignIn(r *http.Request, b *browser) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, err := f.signInAttempt(r, b)
	if err != nil {
		return nil, err
	}
	return f.viewSignIn(a), nil
}

// prepareSignIn sends a code to one of the user's addresses.
func (f *Fake) prepareSignIn(r *http.Request, b *browser) (any, error) {
	in, err := form(r)
	if err != nil {
		return nil, err
	}
	if s := in.Get("strategy"); s != emailCode {
		return nil, errStrategy(s)
	}
	defer f.begin(r)()
	a, err := f.signInAttempt(r, b)
	if err != nil {
		return nil, err
	}
	if id := in.Get("email_address_id"); id != "" {
		u, at, err := f.owner(id)
		if err != nil || u.ID != a.user {
			return nil, notFound("email address", id)
		}
		a.email = u.EmailAddresses[at].EmailAddress
	}
	f.sendCode(a)
	b.signIn = a
	return f.viewSignIn(a), f.saveClient(b)
}

// sendCode sends a new code. The lock is held.
func (f *Fake) sendCode(a *attempt) {
	a.code = f.emitCode(a.user, a.email, a.id)
	a.tries, a.expireAt = 0, f.nowMs()+codeLife.Milliseconds()
}

// check compares a code with the one that was sent.
func (f *Fake) check(a *attempt, code string) error {
	a.tries++
	switch {
	case a.code == "":
		return &failure{http.StatusBadRequest, apiError{
			Message: "You need to send a verification code before attempting to verify.", Code: "verification_missing",
			LongMessage: "You need to send a verification code before attempting to verify.",
		}}
	case f.nowMs() >= a.expireAt:
		return &failure{http.StatusBadRequest, apiError{
			Message: "expired", LongMessage: "This verification has expired. You must create a new one.", Code: "verification_expired",
		}}
	case code != a.code && code != testCode:
		return &failure{http.StatusUnprocessableEntity, apiError{
			Message: "is incorrect", LongMessage: "Incorrect code", Code: "form_code_incorrect", Meta: map[string]any{"param_name": "code"},
		}}
	}
	return nil
}

// attemptSignIn begins the session when the code is right.
func (f *Fake) attemptSignIn(r *http.Request, b *browser) (any, error) {
	in, err := form(r)
	if err != nil {
		return nil, err
	}
	if s := in.Get("strategy"); s != emailCode {
		return nil, errStrategy(s)
	}
	defer f.begin(r)()
	a, err := f.signInAttempt(r, b)
	if err != nil {
		return nil, err
	}
	if a.session != "" {
		return nil, &failure{http.StatusBadRequest, apiError{
			Message: "Already verified", LongMessage: "This verification has already been verified.", Code: "verification_already_verified",
		}}
	}
	if err := f.check(a, in.Get("code")); err != nil {
		b.signIn = a
		return nil, errors.Join(f.saveClient(b), err)
	}
	u, err := f.user(a.user)
	if err != nil {
		return nil, err
	}
	if err := frontRefusal(u); err != nil {
		return nil, err
	}
	if err := f.enter(b, a, u.ID); err != nil {
		return nil, err
	}
	b.signIn = nil
	return f.viewSignIn(a), f.saveClient(b)
}

// enter begins a session of the browser, which holds one at a time. The lock is held.
func (f *Fake) enter(b *browser, a *attempt, user string) error {
	if err := f.signOut(b.client); err != nil {
		return err
	}
	s, err := f.startSession(user, "", b.ID)
	a.session = s.ID
	return err
}
