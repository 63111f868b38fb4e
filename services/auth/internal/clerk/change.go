package clerk

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clerk/clerk-sdk-go/v2"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// role is what events say of a role.
type role struct {
	ID          string `json:"id"`
	Key         string `json:"key"`
	Permissions []struct {
		Key string `json:"key"`
	} `json:"permissions"`
	UpdatedAt int64 `json:"updated_at"`
}

// ChangeOf returns the change of the directory that the payload of an Event describes; nil when the event changes nothing. The error says
// that the object does not have the documented shape, which no retry can fix.
func ChangeOf(payload []byte, now time.Time) (directory.Change, error) {
	var e envelope
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("the stored event: %s", problem(err))
	}
	if e.Type == "" {
		return nil, errors.New("the event could not be read when it arrived and was not stored; reconciliation repairs what it described")
	}
	change, err := e.change(now)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Type, err)
	}
	return change, nil
}

func (e envelope) change(now time.Time) (directory.Change, error) {
	switch e.Type {
	case "user.created", "user.updated":
		return e.user(now)
	case "user.deleted":
		return deleted(e, now, func(o ids, at time.Time) directory.Change { return directory.UserDeleted{ID: o.ID, At: at} })
	case "organization.created", "organization.updated":
		return e.organization()
	case "organization.deleted":
		return deleted(e, now, func(o ids, at time.Time) directory.Change { return directory.OrganizationDeleted{ID: o.ID, At: at} })
	case "organizationMembership.created", "organizationMembership.updated":
		return e.membership()
	case membershipDeleted:
		return deleted(e, time.Time{}, e.membershipDeleted) // unlike the others it may come back
	case "role.created", "role.updated":
		return e.role()
	case "role.deleted":
		return deleted(e, now, func(o ids, at time.Time) directory.Change { return directory.RoleDeleted{ID: o.ID, At: at} })
	case "session.ended", "session.removed", "session.revoked":
		return deleted(e, now, func(o ids, _ time.Time) directory.Change { return directory.SessionEnded{ID: o.ID} })
	}
	return nil, nil //nolint:nilnil // most events change nothing here
}

func (e envelope) decode(into any) error {
	if err := json.Unmarshal(e.Data, into); err != nil {
		return errors.New("data: " + problem(err))
	}
	return nil
}

func (e envelope) user(now time.Time) (directory.Change, error) {
	var u userResource
	if err := errors.Join(e.decode(&u), dated(u.CreatedAt, u.UpdatedAt)); err != nil {
		return nil, err
	}
	user := userOf(&u, e.told(now))
	user.EventTime = e.time()
	return directory.UserChanged{User: user}, nil
}

// time is when Clerk says that it sent the event; the zero time when the event does not say.
func (e envelope) time() time.Time {
	if dated(e.Timestamp) != nil {
		return time.Time{}
	}
	return milliseconds(e.Timestamp)
}

// told is when Clerk sent this. An event may be handled hours later, and durations in it count from when it was sent.
func (e envelope) told(now time.Time) time.Time {
	if at := e.time(); !at.IsZero() && at.Before(now) {
		return at
	}
	return now // the event does not say, or Clerk's clock is ahead
}

func (e envelope) organization() (directory.Change, error) {
	var o clerk.Organization
	if err := errors.Join(e.decode(&o), dated(o.CreatedAt, o.UpdatedAt)); err != nil {
		return nil, err
	}
	return directory.OrganizationChanged{Organization: organizationOf(&o, e.time())}, nil
}

func (e envelope) membership() (directory.Change, error) {
	var m clerk.OrganizationMembership
	if err := errors.Join(e.decode(&m), dated(m.CreatedAt, m.UpdatedAt)); err != nil {
		return nil, err
	}
	if m.Organization == nil || m.PublicUserData == nil || m.Role == "" {
		return nil, errors.New("data has no organization, no user or no role")
	}
	return directory.MembershipChanged{Membership: membershipOf(&m, e.time())}, nil
}

func (e envelope) membershipDeleted(o ids, at time.Time) directory.Change {
	end := directory.MembershipDeleted{ID: nameOrNone(o.ID), At: at}
	if o.isWhose() {
		end.OrganizationID, end.UserID = o.Organization.ID, o.User.ID
	}
	var of struct {
		CreatedAt int64 `json:"created_at"`
	}
	if e.decode(&of) == nil && dated(of.CreatedAt) == nil {
		end.CreateTime = milliseconds(of.CreatedAt)
	}
	return end
}

// nameOrNone returns an id that can be stored, or "".
func nameOrNone(id string) string {
	if !isName(id) {
		return ""
	}
	return id
}

func (e envelope) role() (directory.Change, error) {
	var r role
	if err := errors.Join(e.decode(&r), dated(r.UpdatedAt, r.UpdatedAt)); err != nil {
		return nil, err
	}
	if r.Key == "" {
		return nil, errors.New("data has no key")
	}
	var permissions []string
	for _, p := range r.Permissions {
		permissions = append(permissions, p.Key)
	}
	return directory.RoleChanged{Role: roleOf(r.ID, r.Key, permissions, r.UpdatedAt, e.time())}, nil
}

// deleted makes the change of an event about a deleted object. The time is that of the event, or at if it has none.
func deleted(e envelope, at time.Time, change func(ids, time.Time) directory.Change) (directory.Change, error) {
	var o ids
	if err := e.decode(&o); err != nil {
		return nil, err
	}
	var of struct {
		UpdatedAt int64 `json:"updated_at"`
	}
	_ = e.decode(&of) // most have none
	if ms := max(e.Timestamp, of.UpdatedAt); dated(ms) == nil {
		at = milliseconds(ms)
	}
	return change(o, at), nil
}

// maxMillis is the last moment of the year 9999, the latest time that the store keeps.
const maxMillis = 253_402_300_799_999

// dated refuses objects that do not say when they changed, because they cannot be compared with the stored state.
func dated(times ...int64) error {
	for _, ms := range times {
		if ms <= 0 || ms > maxMillis {
			return errors.New("data has no created_at or no updated_at in milliseconds")
		}
	}
	return nil
}

func membershipOf(m *clerk.OrganizationMembership, told time.Time) directory.Membership {
	permissions := make([]string, 0, len(m.Permissions))
	for _, p := range m.Permissions {
		permissions = append(permissions, clean(p))
	}
	slices.Sort(permissions)
	return directory.Membership{
		ID: nameOrNone(m.ID), OrganizationID: m.Organization.ID, UserID: m.PublicUserData.UserID, Role: roleName(m.Role),
		Permissions: permissions, CreateTime: milliseconds(m.CreatedAt), UpdateTime: milliseconds(m.UpdatedAt), EventTime: told,
	}
}

func roleName(key string) string { return strings.TrimPrefix(clean(key), "org:") }
