package clerk

import (
	_ "embed"
	"encoding/json"
	"net/http"
)

// environmentJSON is what Clerk's dashboard configures: sign-in by e-mail code, organizations, and nothing else.
//
//go:embed environment.json
var environmentJSON []byte

// attribute says how sign-in and sign-up use a field of the user.
type attribute struct {
	Enabled             bool     `json:"enabled"`
	Required            bool     `json:"required"`
	Verifications       []string `json:"verifications"`
	UsedForFirstFactor  bool     `json:"used_for_first_factor"`
	FirstFactors        []string `json:"first_factors"`
	UsedForSecondFactor bool     `json:"used_for_second_factor"`
	SecondFactors       []string `json:"second_factors"`
	VerifiedAtSignUp    bool     `json:"verify_at_sign_up"`
}

func userAttributes() map[string]attribute {
	all := map[string]attribute{}
	for _, name := range []string{
		"email_address", "phone_number", "username", "first_name", "last_name", "password", "web3_wallet", "authenticator_app", "backup_code", "passkey", "ticket",
	} {
		a := attribute{Verifications: []string{}, FirstFactors: []string{}, SecondFactors: []string{}}
		switch name {
		case "email_address":
			a.Enabled, a.Required, a.UsedForFirstFactor, a.VerifiedAtSignUp = true, true, true, true
			a.FirstFactors, a.Verifications = []string{emailCode}, []string{emailCode}
		case "first_name", "last_name", "ticket":
			a.Enabled = true
		}
		all[name] = a
	}
	return all
}

// getEnvironment answers the settings of the instance. All its addresses are at the page's origin.
func (f *Fake) getEnvironment(r *http.Request, _ *browser) (any, error) {
	var env map[string]any
	if err := json.Unmarshal(environmentJSON, &env); err != nil {
		return nil, err
	}
	origin := f.originOf(r)
	display, _ := env["display_config"].(map[string]any)
	for _, name := range []string{
		"home_url", "after_sign_in_url", "after_sign_up_url", "after_sign_out_all_url", "after_sign_out_one_url", "after_switch_session_url",
		"user_profile_url", "organization_profile_url", "create_organization_url", "after_leave_organization_url", "after_create_organization_url",
	} {
		display[name] = origin
	}
	display["sign_in_url"], display["sign_up_url"] = origin+"/sign-in", origin+"/sign-up"
	user, _ := env["user_settings"].(map[string]any)
	user["attributes"] = userAttributes()
	return env, nil
}
