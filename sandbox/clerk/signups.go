package clerk

import (
	"errors"
	"net/http"
	"strings"
)

type signUpView struct {
	Object                  string                         `json:"object"`
	ID                      string                         `json:"id"`
	Status                  string                         `json:"status"`
	RequiredFields          []string                       `json:"required_fields"`
	OptionalFields          []string                       `json:"optional_fields"`
	MissingFields           []string                       `json:"missing_fields"`
	UnverifiedFields        []string                       `json:"unverified_fields"`
	Username                *string                        `json:"username"`
	FirstName               *string                        `json:"first_name"`
	LastName                *string                        `json:"last_name"`
	EmailAddress            *string                        `json:"email_address"`
	PhoneNumber             *string                        `json:"phone_number"`
	Web3Wallet              *string                        `json:"web3_wallet"`
	ExternalAccountStrategy *string                        `json:"external_account_strategy"`
	ExternalAccount         *string                        `json:"external_account"`
	HasPassword             bool                           `json:"has_password"`
	UnsafeMetadata          map[string]any                 `json:"unsafe_metadata"`
	CreatedSessionID        *string                        `json:"created_session_id"`
	CreatedUserID           *string                        `json:"created_user_id"`
	AbandonAt               int64                          `json:"abandon_at"`
	LegalAcceptedAt         *int64                         `json:"legal_accepted_at"`
	Locale                  *string                        `json:"locale"`
	Verifications           map[string]*signUpVerification `json:"verifications"`
}

type signUpVerification struct {
	verification
	NextAction          string   `json:"next_action"`
	SupportedStrategies []string `json:"supported_strategies"`
}

func viewSignUp(a *attempt) signUpView {
	v := signUpView{
		Object: "sign_up", ID: a.id, Status: "missing_requirements", AbandonAt: a.abandonAt, UnsafeMetadata: map[string]any{},
		RequiredFields: []string{"email_address"}, OptionalFields: []string{"first_name", "last_name"},
		MissingFields: []string{}, UnverifiedFields: []string{},
		Verifications: map[string]*signUpVerification{"email_address": nil, "phone_number": nil, "web3_wallet": nil, "external_account": nil},
	}
	set(&v.FirstName, &a.first)
	set(&v.LastName, &a.last)
	set(&v.EmailAddress, &a.email)
	if a.email == "" {
		v.MissingFields = []string{"email_address"}
		return v
	}
	state := &signUpVerification{verification: a.verification(), NextAction: "needs_prepare", SupportedStrategies: []string{emailCode}}
	v.Verifications["email_address"] = state
	switch {
	case a.session != "":
		v.Status, v.CreatedSessionID, v.CreatedUserID, state.NextAction = "complete", &a.session, &a.newUser, ""
		return v
	case a.code != "":
		state.NextAction = "needs_attempt"
	}
	v.UnverifiedFields = []string{"email_address"}
	return v
}

func (f *Fake) createSignUp(r *http.Request, b *browser) (any, error) {
	return f.changeSignUp(r, b, func() (*attempt, error) {
		return &attempt{id: f.ids.Next("sua_", 27), abandonAt: f.nowMs() + attemptLife.Milliseconds()}, nil
	})
}

func (f *Fake) updateSignUp(r *http.Request, b *browser) (any, error) {
	return f.changeSignUp(r, b, func() (*attempt, error) { return f.signUpAttempt(r, b) })
}

// changeSignUp takes over the fields of a form.
func (f *Fake) changeSignUp(r *http.Request, b *browser, attemptOf func() (*attempt, error)) (any, error) {
	in, err := form(r)
	if err != nil {
		return nil, err
	}
	if s := in.Get("strategy"); s != "" && s != emailCode {
		return nil, errStrategy(s)
	}
	defer f.begin(r)()
	a, err := attemptOf()
	if err != nil {
		return nil, err
	}
	for name, field := range map[string]*string{"first_name": &a.first, "last_name": &a.last} {
		if in.Has(name) {
			*field = strings.TrimSpace(in.Get(name))
		}
	}
	if address := strings.TrimSpace(in.Get("email_address")); address != "" && address != a.email {
		if err := f.checkUser("", userParams{EmailAddresses: &[]string{address}}); err != nil {
			return nil, err
		}
		a.email, a.code = address, ""
	}
	b.signUp = a
	return viewSignUp(a), f.saveClient(b)
}

// signUpAttempt returns the browser's sign-up with the id of the path. The lock is held.
func (f *Fake) signUpAttempt(r *http.Request, b *browser) (*attempt, error) {
	if b.signUp == nil || b.signUp.id != r.PathValue("id") || f.nowMs() >= b.signUp.abandonAt {
		return nil, notFound("sign up", r.PathValue("id"))
	}
	copied := *b.signUp
	return &copied, nil
}

func (f *Fake) getSignUp(r *http.Request, b *browser) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, err := f.signUpAttempt(r, b)
	if err != nil {
		return nil, err
	}
	return viewSignUp(a), nil
}

func (f *Fake) prepareSignUp(r *http.Request, b *browser) (any, error) {
	in, err := form(r)
	if err != nil {
		return nil, err
	}
	if s := in.Get("strategy"); s != emailCode {
		return nil, errStrategy(s)
	}
	defer f.begin(r)()
	a, err := f.signUpAttempt(r, b)
	if err != nil {
		return nil, err
	}
	if a.email == "" {
		return nil, missing("email_address")
	}
	f.sendCode(a)
	b.signUp = a
	return viewSignUp(a), f.saveClient(b)
}

// attemptSignUp creates the user and begins the session when the code is right.
func (f *Fake) attemptSignUp(r *http.Request, b *browser) (any, error) {
	in, err := form(r)
	if err != nil {
		return nil, err
	}
	if s := in.Get("strategy"); s != emailCode {
		return nil, errStrategy(s)
	}
	defer f.begin(r)()
	a, err := f.signUpAttempt(r, b)
	if err != nil {
		return nil, err
	}
	if err := f.check(a, in.Get("code")); err != nil {
		b.signUp = a
		return nil, errors.Join(f.saveClient(b), err)
	}
	if err := f.checkUser("", userParams{EmailAddresses: &[]string{a.email}}); err != nil {
		return nil, err
	}
	u := f.newUser(f.ids.Next("user_", 27))
	u.addEmail(a.email, u.CreatedAt)
	set(&u.FirstName, &a.first)
	set(&u.LastName, &a.last)
	if err := f.insertUser(u); err != nil {
		return nil, err
	}
	a.newUser = u.ID
	if err := f.enter(b, a, u.ID); err != nil {
		return nil, err
	}
	b.signUp = nil
	return viewSignUp(a), f.saveClient(b)
}
