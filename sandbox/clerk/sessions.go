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
	now := f.nowMs()
	s, ok := f.sessions.Get(f.active[user])
	if ok && s.status(now) == "active" {
		s.LastActiveAt = now
	} else {
		s = Session{
			ID: f.ids.Next("sess_", 27), Object: "session", ClientID: f.ids.Next("client_", 27), UserID: user, Status: "active",
			LastActiveAt: now, CreatedAt: now, UpdatedAt: now,
			ExpireAt: now + sessionLife.Milliseconds(), AbandonAt: now + sessionAbandon.Milliseconds(),
		}
		f.active[user] = s.ID
		if u, ok := f.users.Get(user); ok {
			u.LastSignInAt, u.LastActiveAt = &now, &now
			if err := f.users.Insert(u.ID, u); err != nil {
				return Session{}, err
			}
		}
	}
	s.LastActiveOrganizationID = nil
	set(&s.LastActiveOrganizationID, &org)
	return s, f.sessions.Insert(s.ID, s)
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
		s.Status, s.UpdatedAt = status, now
		if err := f.sessions.Insert(s.ID, s); err != nil {
			return err
		}
	}
	return nil
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
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.user(p.UserID); err != nil {
		return nil, err
	}
	return f.signIn(p.UserID, "")
}

func (f *Fake) revokeSession(r *http.Request) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := f.session(r.PathValue("session"))
	if err != nil {
		return nil, err
	}
	s.Status, s.UpdatedAt = "revoked", max(f.nowMs(), s.UpdatedAt+1)
	return s, f.sessions.Insert(s.ID, s)
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
