package settings

import "sync/atomic"

// Live holds secrets that change while the process runs. It is safe for concurrent use.
type Live struct{ present atomic.Pointer[Secrets] }

// NewLive holds secrets, newest first.
func NewLive(secrets ...Secret) *Live {
	l := &Live{}
	l.Replace(secrets)
	return l
}

// Secrets returns the present secrets, newest first.
func (l *Live) Secrets() Secrets { return *l.present.Load() }

// Newest returns the first of the present secrets, or an unset secret if the list is empty.
func (l *Live) Newest() Secret { return l.Secrets().Newest() }

// Replace puts other secrets in place of the present ones.
func (l *Live) Replace(secrets Secrets) { l.present.Store(&secrets) }
