package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// revocable is a credential, and how to revoke it.
type revocable struct {
	credential, path string
	revoke           func() error
}

// revocations counts the credentials that were revoked and refused. What slowest holds is reported and not judged: it includes the
// time that a gateway was dead and the time until the event was handled.
type revocations struct {
	count   int
	slowest time.Duration // from the acknowledged revocation until the last gateway refuses
}

// revoke revokes one credential after another until ctx ends.
func (r *replicated) revoke(ctx context.Context, l *replicaLoad, counted *revocations, next func(n int) (revocable, error)) {
	for ctx.Err() == nil {
		made, err := next(counted.count)
		if err == nil {
			err = r.revokeOne(made, counted)
		}
		if err != nil {
			l.failures <- err
			return
		}
	}
}

// revokeOne uses a credential at every gateway and revokes it: all gateways refuse it, and none takes it again. Gateways that are dead are asked
// again when they live.
func (r *replicated) revokeOne(c revocable, counted *revocations) error {
	for _, edge := range r.edges {
		if _, err := r.insist([]string{edge}, http.MethodGet, c.path, c.credential, "", http.StatusOK); err != nil {
			return err
		}
	}
	if err := c.revoke(); err != nil {
		return err
	}
	begun := time.Now()
	for _, edge := range r.edges {
		if _, err := r.insist([]string{edge}, http.MethodGet, c.path, c.credential, "", http.StatusUnauthorized); err != nil {
			return err
		}
	}
	counted.slowest = max(counted.slowest, time.Since(begun))
	for _, edge := range r.edges {
		a, err := r.until([]string{edge}, http.MethodGet, c.path, c.credential, "", http.StatusUnauthorized, http.StatusOK)
		if err != nil {
			return err
		}
		if a.status == http.StatusOK {
			return fmt.Errorf("%s takes a credential again that all gateways have refused", edge)
		}
	}
	counted.count++
	return nil
}

// newRevocableKey makes an API key, which its owner deletes.
func (r *replicated) newRevocableKey(owner string) (revocable, error) {
	var made struct {
		APIKey struct{ ID string }
		Secret string
	}
	body, err := r.insist(r.edges, http.MethodPost, "/api/v1/apiKeys", owner, `{"name":"short-lived"}`, http.StatusOK)
	if err == nil {
		err = json.Unmarshal(body, &made)
	}
	return revocable{credential: made.Secret, path: "/v1/models", revoke: func() error {
		_, err := r.insist(r.edges, http.MethodDelete, "/api/v1/apiKeys/"+made.APIKey.ID, owner, "", http.StatusOK, http.StatusNotFound)
		return err
	}}, err
}

// newRevocableSession makes a session of a new user, whose end Clerk tells by a webhook. The token itself stays valid for an hour.
func (r *replicated) newRevocableSession(n int) (revocable, error) {
	user := fmt.Sprintf("user_ended_%d", n)
	body, err := r.insist([]string{r.sandbox}, http.MethodPost, "/control/clerk/tokens", "", fmt.Sprintf(`{"user":%q,"ttl":"1h"}`, user), http.StatusOK, http.StatusCreated)
	if err != nil {
		return revocable{}, err
	}
	var made struct{ Token string }
	if err := json.Unmarshal(body, &made); err != nil {
		return revocable{}, err
	}
	session, err := sessionOf(made.Token)
	if err != nil {
		return revocable{}, err
	}
	event, err := clerkEvent("msg_ended_"+session, "session.revoked", map[string]any{"id": session, "object": "session", "status": "revoked", "user_id": user})
	if err != nil {
		return revocable{}, err
	}
	return revocable{credential: made.Token, path: "/api/v1/me", revoke: func() error { return r.deliverAnywhere(event) }}, nil
}

// deliverAnywhere delivers an event through the first gateway that acknowledges it.
func (r *replicated) deliverAnywhere(event webhookEvent) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.t.Context()), time.Minute)
	defer cancel()
	for n := 0; ; n++ {
		c := newSender(r.edges[n%len(r.edges)])
		a, err := c.send(ctx, event)
		c.client.CloseIdleConnections()
		if err == nil && a.status == http.StatusOK {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s was never acknowledged: %w", event.id, errors.Join(err, ctx.Err()))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// sessionOf reads the session's id from a token of Clerk.
func sessionOf(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("the token of a session has three parts")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", err
	}
	var claims struct{ Sid string }
	err = json.Unmarshal(raw, &claims)
	if err == nil && claims.Sid == "" {
		err = errors.New("the token names no session")
	}
	return claims.Sid, err
}
