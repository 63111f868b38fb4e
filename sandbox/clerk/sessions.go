package clerk

import (
	"net/http"
	"time"
)

// How long a session lives, as Clerk's default settings say.
const (
	sessionLife    = 7 * 24 * time.Hour
	sessionAbandon = 30 * 24 * time.Hour
)

// signIn returns the user's active session, or begins one.
func (f *Fake) signIn(user, org string) (Session, error) {
	s, ok := f.sessions.Get(f.active[user])
	if !ok || s.status(f.nowMs()) != "active" {
		return f.beginSession(user, org, f.ids.Next("client_", 27))
	}
	s.LastActiveAt = f.nowMs()
	s.LastActiveOrganizationID = nil
	set(&s.LastActiveOrganizationID, &org)
	return s, f.sessions.Insert(s.ID, s)
}

// beginSession signs a user in at a client, which is a browser: a code is sent, and at once given back.
func (f *Fake) beginSession(user, org, client string) (Session, error) {
	s := f.newSession(user, org, client)
	if u, known := f.users.Get(user); known && u.PrimaryEmail() != "" {
		f.emitCode(user, u.PrimaryEmail(), s.ID)
	}
	return s, f.addSession(s)
}

// startSession signs a user in who has given back a code already.
func (f *Fake) startSession(user, org, client string) (Session, error) {
	s := f.newSession(user, org, client)
	return s, f.addSession(s)
}

func (f *Fake) newSession(user, org, client string) Session {
	now := f.nowMs()
	s := Session{
		ID: f.ids.Next("sess_", 27), Object: "session", ClientID: client, UserID: user, Status: "active",
		LastActiveAt: now, CreatedAt: now, UpdatedAt: now,
		ExpireAt: now + sessionLife.Milliseconds(), AbandonAt: now + sessionAbandon.Milliseconds(),
	}
	set(&s.LastActiveOrganizationID, &org)
	return s
}

// addSession stores a new session, and notes the sign-in.
func (f *Fake) addSession(s Session) error {
	if err := f.sessions.Insert(s.ID, s); err != nil {
		return err
	}
	f.active[s.UserID] = s.ID
	u, known := f.users.Get(s.UserID)
	if !known {
		return nil
	}
	f.emitSession("created", s)
	u.LastSignInAt, u.LastActiveAt = &s.CreatedAt, &s.CreatedAt
	_, err := f.updatedUser(u)
	return err
}

// status is the stored one, or "expired" when the time has come.
func (s *Session) status(nowMs int64) string {
	if s.Status == "active" && nowMs >= s.ExpireAt {
		return "expired"
	}
	return s.Status
}

// endSessions gives the user's active sessions a final status.
func (f *Fake) endSessions(user, status string) error {
	now := f.nowMs()
	for _, s := range f.sessions.All(func(s Session) bool { return s.UserID == user && s.status(now) == "active" }) {
		if _, err := f.endSession(s, status); err != nil {
			return err
		}
	}
	return nil
}

// endSession gives a session a final status: "ended", "removed" or "revoked".
func (f *Fake) endSession(s Session, status string) (Session, error) {
	s.Status, s.UpdatedAt = status, max(f.nowMs(), s.UpdatedAt+1)
	if err := f.sessions.Insert(s.ID, s); err != nil {
		return Session{}, err
	}
	f.emitSession(status, s)
	return s, nil
}

func (f *Fake) session(id string) (Session, error) {
	s, ok := f.sessions.Get(id)
	if !ok {
		return Session{}, notFound("session", id)
	}
	s.Status = s.status(f.nowMs())
	return s, nil
}

func (f *Fake) getSession(r *http.Request) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.session(r.PathValue("session"))
}

// listSessions answers an array, or with paginated=true a page, as the API does.
func (f *Fake) listSessions(r *http.Request) (any, error) {
	q := r.URL.Query()
	limit, offset, err := paging(q)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.nowMs()
	list := f.sessions.All(func(s Session) bool {
		return matchesAny(q, "user_id", s.UserID) && matchesAny(q, "client_id", s.ClientID) && matchesAny(q, "status", s.status(now))
	})
	for i := range list {
		list[i].Status = list[i].status(now)
	}
	part := cut(list, limit, offset)
	if q.Get("paginated") == "true" {
		return page[Session]{part, int64(len(list))}, nil
	}
	return part, nil
}

func (f *Fake) createSession(r *http.Request) (any, error) {
	var p struct {
		UserID string `json:"user_id"`
	}
	if err := readBody(r, &p); err != nil {
		return nil, err
	}
	defer f.begin(r)()
	if _, err := f.user(p.UserID); err != nil {
		return nil, err
	}
	return f.signIn(p.UserID, "")
}

func (f *Fake) revokeSession(r *http.Request) (any, error) {
	defer f.begin(r)()
	s, err := f.session(r.PathValue("session"))
	if err != nil {
		return nil, err
	}
	return f.endSession(s, "revoked")
}

// createSessionToken signs a token for an active session; one of a template has the template's claims.
func (f *Fake) createSessionToken(r *http.Request) (any, error) {
	var p struct {
		ExpiresInSeconds *int64 `json:"expires_in_seconds"`
	}
	if err := readBody(r, &p); err != nil {
		return nil, err
	}
	f.mu.Lock()
	s, err := f.session(r.PathValue("session"))
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if s.Status != "active" {
		return nil, &failure{http.StatusUnprocessableEntity, apiError{
			Message: "Session is not active", LongMessage: "The session is " + s.Status + ".", Code: "session_not_active",
		}}
	}
	spec := TokenSpec{User: s.UserID, Org: orEmpty(s.LastActiveOrganizationID), Template: r.PathValue("template"), session: s.ID}
	if p.ExpiresInSeconds != nil {
		const most = int64(maxTTL / time.Second)
		if *p.ExpiresInSeconds < -most || *p.ExpiresInSeconds > most {
			return nil, invalid("expires_in_seconds", "form_param_format_invalid", "must be at most 10 years.")
		}
		spec.TTL = time.Duration(*p.ExpiresInSeconds) * time.Second
	}
	token, err := f.MintToken(r.Context(), spec)
	if err != nil {
		return nil, err
	}
	return struct {
		Object string `json:"object"`
		JWT    string `json:"jwt"`
	}{"token", token}, nil
}
