package serve

import (
	"crypto/ed25519"
	"errors"
	"slices"

	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/settings"
)

// Signer makes the signer of passports, whose key changes with its setting from then on. Only auth's process has one.
func (p *Process) Signer(key SigningKey) (*passport.Issuer, error) {
	private, err := key.key()
	if err != nil {
		return nil, err
	}
	if err := p.trust.verifies(private); err != nil {
		return nil, err
	}
	p.issuer, err = passport.NewIssuer(private, p.Now)
	return p.issuer, err
}

// verifies reports an error if the processes would refuse the passports that a key signs.
func (t Trust) verifies(private ed25519.PrivateKey) error {
	keys, err := t.Keys()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(keys, func(key ed25519.PublicKey) bool { return key.Equal(private.Public()) }) {
		return nil
	}
	return settings.Invalid("TRIVET_PASSPORT_KEY", "signs passports that TRIVET_PASSPORT_PUBLIC_KEYS cannot verify", "add its public key there first, in every process; `trivet keys rotate passport add` does it")
}

// trustNames are the settings of the keys that the processes share.
func (p *Process) trustNames() []string {
	names := []string{"TRIVET_INTERNAL_SECRET", "TRIVET_PASSPORT_PUBLIC_KEYS"}
	if p.issuer != nil {
		names = append(names, "TRIVET_PASSPORT_KEY")
	}
	return names
}

// rotateTrust reads the keys that the processes share again. After an error the present ones are all in use.
func (p *Process) rotateTrust() error {
	var trust Trust
	if err := settings.Load(p.get, &trust, p.modes...); err != nil {
		return err
	}
	if p.issuer == nil {
		return p.useTrust(trust)
	}
	var signing SigningKey
	if err := settings.Load(p.get, &signing, p.modes...); err != nil {
		return err
	}
	next, err := signing.key()
	if err != nil {
		return err
	}
	if err := trust.verifies(next); err != nil {
		return err
	}
	// First the keys that verify, then the one that signs.
	return errors.Join(p.useTrust(trust), p.issuer.Replace(next))
}

// useTrust verifies and proves with other keys, which were checked.
func (p *Process) useTrust(trust Trust) error {
	secrets := trust.secrets()
	if p.trusted == nil {
		return p.prover.Replace(secrets[0])
	}
	keys, err := trust.Keys()
	if err != nil {
		return err
	}
	return errors.Join(p.trusted.passports.Replace(keys), p.trusted.peers.Replace(secrets[0], secrets[1:]...), p.prover.Replace(secrets[0]))
}
