// Package peer proves to a Trivet service which other service is calling it.
// A proof is an HMAC over the caller's name and the minute with a secret that
// all services share. It says nothing of users: those come by passport, which
// only auth can sign.
package peer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Header is the proof's name in gRPC metadata.
const Header = "trivet-peer"

// AcceptedHeader is the name of the header with which a server tells that it accepts a stream, before it does anything else.
const AcceptedHeader = "trivet-accepted"

// UnawaitedHeader is the name of the metadata with which the caller of a stream tells that it has no other replica to go to, so it
// does not wait for AcceptedHeader, and a server need not send it.
const UnawaitedHeader = "trivet-unawaited"

// MinSecret is the fewest bytes that the shared secret may have.
const MinSecret = 32

// window is how old or how far ahead a proof may be.
const window = 2 * time.Minute

// ErrInvalid is the root of every verification error.
var ErrInvalid = errors.New("invalid peer proof")

// ErrTime says that a proof was made with the shared secret and is not good now: the clocks of the two machines differ by more than a minute,
// or somebody repeats an old proof. It wraps ErrInvalid.
var ErrTime = fmt.Errorf("%w: made at another time; compare the clocks of the machines", ErrInvalid)

// CheckSecret refuses a secret that could be guessed.
func CheckSecret(secret []byte) error {
	if len(secret) < MinSecret {
		return fmt.Errorf("TRIVET_INTERNAL_SECRET must have at least %d bytes, it has %d; `trivet keys` makes one", MinSecret, len(secret))
	}
	return nil
}

// Prover makes proofs in one service's name. It is safe for concurrent use.
type Prover struct {
	name string
	now  func() time.Time
	use  atomic.Pointer[signing]
}

// signing is a secret with the last proof that was made with it.
type signing struct {
	secret []byte
	last   atomic.Pointer[proof]
}

type proof struct {
	minute int64
	text   string
}

// NewProver makes a prover for a service's name, such as "ai".
func NewProver(name string, secret []byte, now func() time.Time) (*Prover, error) {
	if name == "" || strings.Contains(name, ".") {
		return nil, fmt.Errorf("peer name %q: want a service's name without dots", name)
	}
	p := &Prover{name: name, now: now}
	if err := p.Replace(secret); err != nil {
		return nil, err
	}
	return p, nil
}

// Replace proves with another secret from now on. After an error the present secret stays.
func (p *Prover) Replace(secret []byte) error {
	if err := CheckSecret(secret); err != nil {
		return err
	}
	p.use.Store(&signing{secret: secret})
	return nil
}

// Proof returns a proof that is good now.
func (p *Prover) Proof() string {
	minute, with := p.now().Unix()/60, p.use.Load()
	if last := with.last.Load(); last != nil && last.minute == minute {
		return last.text
	}
	text := p.name + "." + strconv.FormatInt(minute, 10)
	text += "." + hex.EncodeToString(sign(with.secret, text))
	with.last.Store(&proof{minute: minute, text: text})
	return text
}

// Verifier checks proofs. It is safe for concurrent use.
type Verifier struct {
	accepted atomic.Pointer[accepted]
	now      func() time.Time
}

// accepted are secrets, with the proofs that were made with them. The secrets never change.
type accepted struct {
	secrets [][]byte
	good    sync.Map // proofs whose signatures were right; a few a minute
	known   atomic.Int64
}

// maxKnown bounds the remembered proofs; only holders of the secret can make one that is remembered.
const maxKnown = 1024

// NewVerifier makes a verifier of the shared secret, and of others that are accepted while it is rotated.
func NewVerifier(secret []byte, now func() time.Time, others ...[]byte) (*Verifier, error) {
	v := &Verifier{now: now}
	if err := v.Replace(secret, others...); err != nil {
		return nil, err
	}
	return v, nil
}

// Replace accepts these secrets and no other from now on. After an error the present ones stay.
func (v *Verifier) Replace(secret []byte, others ...[]byte) error {
	secrets := append([][]byte{secret}, others...)
	for _, s := range secrets {
		if err := CheckSecret(s); err != nil {
			return err
		}
	}
	v.accepted.Store(&accepted{secrets: secrets})
	return nil
}

// Verify returns the name of the service that made the proof. Every error wraps ErrInvalid.
func (v *Verifier) Verify(proof string) (string, error) {
	signed, mac, ok := cutLast(proof)
	if !ok {
		return "", fmt.Errorf("%w: malformed", ErrInvalid)
	}
	if !v.accepted.Load().made(proof, signed, mac) {
		return "", fmt.Errorf("%w: wrong signature", ErrInvalid)
	}
	name, minuteText, _ := strings.Cut(signed, ".")
	minute, err := strconv.ParseInt(minuteText, 10, 64)
	if err != nil || name == "" {
		return "", fmt.Errorf("%w: malformed", ErrInvalid)
	}
	if age := v.now().Sub(time.Unix(minute*60, 0)); age > window || age < -window {
		return "", ErrTime
	}
	return name, nil
}

// made reports whether a proof was made with one of the secrets.
func (a *accepted) made(proof, signed, mac string) bool {
	if _, known := a.good.Load(proof); known {
		return true
	}
	got, err := hex.DecodeString(mac)
	if err != nil || !slices.ContainsFunc(a.secrets, func(secret []byte) bool { return hmac.Equal(got, sign(secret, signed)) }) {
		return false
	}
	a.remember(proof)
	return true
}

func (a *accepted) remember(proof string) {
	if a.known.Add(1) > maxKnown {
		a.good.Clear()
		a.known.Store(1)
	}
	a.good.Store(proof, struct{}{})
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

func sign(secret []byte, text string) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
