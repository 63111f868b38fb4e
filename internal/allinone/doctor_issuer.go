package allinone

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/trivet-dev/trivet/platform/settings"
)

// signingKey names a key of a JSON Web Key Set.
type signingKey struct {
	ID string `json:"kid"`
}

// keySet is a JSON Web Key Set.
type keySet struct{ Keys []signingKey }

// instance is the instance of Clerk that a key belongs to.
type instance struct {
	keySet

	key position
}

// issuer compares the signing keys of the Backend API with those of the issuer, Clerk's Frontend API. Without a common key the settings
// belong to two instances, and every session token would be refused.
func (d *doctor) issuer(ctx context.Context, instances []instance) []Finding {
	const part = "whether CLERK_SECRET_KEY and CLERK_ISSUER belong to the same instance"
	if len(instances) == 0 {
		d.skip(part, "Clerk did not show its signing keys")
		return nil
	}
	issuer, err := d.config.Auth.FrontendAPI()
	if err != nil { // the check of the settings reports it
		d.skip(part, unusable("CLERK_ISSUER"))
		return nil
	}
	at, err := url.Parse(issuer)
	if err != nil {
		d.skip(part, unusable("CLERK_ISSUER"))
		return nil
	}
	var public keySet
	status, err := d.ask(ctx, "Clerk's Frontend API", below(at, "/.well-known/jwks.json", ""), settings.Secret{}, &public)
	if err != nil || status != http.StatusOK { // Trivet itself reads the keys from the Backend API
		return []Finding{warning("CLERK_ISSUER", "Clerk's Frontend API does not show its signing keys, so that they cannot be compared with those of the Backend API",
			"check that browsers can reach "+issuer)}
	}
	var found []Finding
	for _, own := range instances {
		switch {
		case slices.ContainsFunc(own.Keys, func(k signingKey) bool { return slices.Contains(public.Keys, k) }):
		case own.key.earlier():
			found = append(found, warning("CLERK_SECRET_KEY", own.key.String()+" belongs to another instance of Clerk than CLERK_ISSUER", "remove it, or replace it by a key of the same instance"))
		default:
			found = append(found, failure("CLERK_ISSUER", "belongs to another instance of Clerk than CLERK_SECRET_KEY: every session token would be refused",
				"copy both from the same instance in Clerk's dashboard"))
		}
	}
	return found
}
