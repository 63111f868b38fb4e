package clerk

import (
	"net/http"
	"time"
)

// Clerk locks a user out for an hour after ten failed attempts to sign in.
const (
	lockoutAttempts = 10
	lockoutLife     = time.Hour
)

// UserState says which of the states that keep a user out begin or end; nil leaves one alone.
type UserState struct {
	// Banned ends the user's sessions and refuses new ones.
	Banned *bool
	// Locked refuses new sessions and leaves those that are there alone. The sandbox's lock lasts until it is taken back.
	Locked *bool
	// Deprovisioned is set by a directory sync when a company removes the user; it ends and refuses sessions, as a ban does.
	Deprovisioned *bool
	// Quiet sends no event.
	Quiet bool
}

// SetUserState changes the state of a user and emits user.updated. The error says that the user does not exist.
func (f *Fake) SetUserState(id string, state UserState) (User, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.origin = origin{quiet: state.Quiet}
	defer func() { f.origin = origin{} }()
	return f.changeState(id, state)
}

// setState makes the Backend API's handler of one change.
func (f *Fake) setState(state UserState) handler {
	return func(r *http.Request) (any, error) {
		defer f.begin(r)()
		return f.changeState(r.PathValue("user"), state)
	}
}

func (f *Fake) changeState(id string, state UserState) (User, error) {
	u, err := f.user(id)
	if err != nil {
		return User{}, err
	}
	if state.Locked != nil {
		u.lock(*state.Locked)
	}
	for field, value := range map[*bool]*bool{&u.Banned: state.Banned, &u.Deprovisioned: state.Deprovisioned} {
		if value != nil {
			*field = *value
		}
	}
	if u.Banned || u.Deprovisioned {
		if err := f.endSessions(u.ID, "revoked"); err != nil {
			return User{}, err
		}
	}
	return f.updatedUser(u)
}

func (u *User) lock(locked bool) {
	u.Locked, u.LockoutExpiresInSeconds, u.VerificationAttemptsRemaining = locked, nil, new(int64(lockoutAttempts))
	if locked {
		u.LockoutExpiresInSeconds, u.VerificationAttemptsRemaining = new(int64(lockoutLife/time.Second)), new(int64(0))
	}
}

// signInRefusal says why a user cannot begin a session; nil lets them in.
func (u *User) signInRefusal() error {
	switch {
	case u.Banned:
		return invalid("user", "user_banned", "is banned and cannot sign in.")
	case u.Deprovisioned:
		return invalid("user", "user_deprovisioned", "is deprovisioned and cannot sign in.")
	case u.Locked:
		return invalid("user", "user_locked", "is locked and cannot sign in.")
	}
	return nil
}
