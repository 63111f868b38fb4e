package clerk

import "hash/fnv"

// frontUser is a user as a browser sees it: with the memberships, and without what is private to the back end.
type frontUser struct {
	User
	PrivateMetadata *struct{}    `json:"private_metadata,omitempty"`
	Memberships     []Membership `json:"organization_memberships"`
}

func (f *Fake) frontUser(u User) frontUser {
	u.ImageURL = avatar(u.ID)
	return frontUser{User: u, Memberships: f.frontMemberships(func(m Membership) bool { return m.UserID == u.ID })}
}

// frontMemberships shows the memberships that match. The lock is held.
func (f *Fake) frontMemberships(match func(Membership) bool) []Membership {
	list := f.memberships.All(match)
	for i, m := range list {
		m = f.membershipView(m)
		m.PrivateMetadata = emptyObject()
		if m.Organization != nil {
			o := f.frontOrganization(*m.Organization)
			m.Organization = &o
		}
		if m.PublicUserData != nil {
			m.PublicUserData.ImageURL = avatar(m.PublicUserData.UserID)
		}
		list[i] = m
	}
	return list
}

func (f *Fake) frontOrganization(o Organization) Organization {
	o = f.organizationView(o, true)
	o.PrivateMetadata, o.ImageURL, o.PendingInvitationsCount = emptyObject(), avatar(o.ID), new(int64(0))
	return o
}

func publicData(u User) *PublicUserData {
	return &PublicUserData{
		UserID: u.ID, FirstName: u.FirstName, LastName: u.LastName, ImageURL: avatar(u.ID), Identifier: u.PrimaryEmail(), Username: u.Username,
	}
}

// avatar is an image in the address itself: pages of the sandbox must not load one from another host.
func avatar(id string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	colors := []string{"0f9d75", "5b6ee1", "d97706", "c2417c", "64748b", "806dd9"}
	color := colors[h.Sum32()%uint32(len(colors))]
	return `data:image/svg+xml;utf8,<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8" fill="%23` + color + `"/></svg>`
}

type sessionToken struct {
	Object string `json:"object"`
	JWT    string `json:"jwt"`
}

// frontSession is a session as a browser sees it.
type frontSession struct {
	Session
	Actor                 *struct{}       `json:"actor"`
	Tasks                 *struct{}       `json:"tasks"`
	FactorVerificationAge []int           `json:"factor_verification_age"`
	User                  frontUser       `json:"user"`
	PublicUserData        *PublicUserData `json:"public_user_data"`
	LastActiveToken       *sessionToken   `json:"last_active_token"`
	// The Backend API omits a missing organization; Clerk's script needs the null.
	LastActiveOrganizationID *string `json:"last_active_organization_id"`
}

// frontView shows a session. The lock is held; the token comes from [Fake.withTokens].
func (f *Fake) frontView(s Session) *frontSession {
	u, _ := f.users.Get(s.UserID)
	return &frontSession{
		Session: s, FactorVerificationAge: []int{0, -1}, User: f.frontUser(u), PublicUserData: publicData(u),
		LastActiveOrganizationID: s.LastActiveOrganizationID,
	}
}

type clientView struct {
	Object              string          `json:"object"`
	ID                  string          `json:"id"`
	Sessions            []*frontSession `json:"sessions"`
	SignIn              *signInView     `json:"sign_in"`
	SignUp              *signUpView     `json:"sign_up"`
	LastActiveSessionID *string         `json:"last_active_session_id"`
	LastStrategy        *string         `json:"last_authentication_strategy"`
	CaptchaBypass       bool            `json:"captcha_bypass"`
	CookieExpiresAt     *int64          `json:"cookie_expires_at"`
	CreatedAt           int64           `json:"created_at"`
	UpdatedAt           int64           `json:"updated_at"`
}

// viewClient shows a browser. The lock is held.
func (f *Fake) viewClient(c client) *clientView {
	v := &clientView{Object: "client", ID: c.ID, Sessions: []*frontSession{}, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt}
	for _, s := range f.sessionsOf(c) {
		v.Sessions = append(v.Sessions, f.frontView(s))
	}
	if len(v.Sessions) > 0 {
		v.LastActiveSessionID = &v.Sessions[0].ID
	}
	if c.signIn != nil {
		v.SignIn = new(f.viewSignIn(c.signIn))
	}
	if c.signUp != nil {
		v.SignUp = new(viewSignUp(c.signUp))
	}
	return v
}
