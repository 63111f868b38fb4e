package session

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"
)

// claims is the payload as it stands in the token. The decoder is go-jose's: it tells "sub" from "SUB" and refuses a
// name that stands twice, which encoding/json does not.
type claims struct {
	Issuer    *string      `json:"iss"`
	Subject   *string      `json:"sub"`
	SessionID *string      `json:"sid"`
	Party     *string      `json:"azp"`
	Audience  audience     `json:"aud"`
	Expires   *numericDate `json:"exp"`
	Issued    *numericDate `json:"iat"`
	NotBefore *numericDate `json:"nbf"`

	Version  *int        `json:"v"`
	Status   *string     `json:"sts"`
	Factors  *factors    `json:"fva"`
	Plans    *string     `json:"pla"`
	Features *string     `json:"fea"`
	Actor    *actorClaim `json:"act"`

	Org *orgClaim `json:"o"` // version 2

	OrgID          *string  `json:"org_id"` // version 1
	OrgSlug        *string  `json:"org_slug"`
	OrgRole        *string  `json:"org_role"`
	OrgPermissions []string `json:"org_permissions"`

	Email     *string         `json:"email"`
	FirstName *string         `json:"firstName"`
	LastName  *string         `json:"lastName"`
	UserID    json.RawMessage `json:"userId"` // only a JWT template's is looked at
}

type orgClaim struct {
	ID   string `json:"id"`
	Slug string `json:"slg"`
	Role string `json:"rol"`
	Per  string `json:"per"`
	FPM  string `json:"fpm"`
}

type actorClaim struct {
	Subject   string `json:"sub"`
	SessionID string `json:"sid"`
}

// maxDate is the last second that a date may name: far enough, and time.Time's arithmetic stays exact.
const maxDate = 1 << 40

// numericDate is whole seconds since 1970.
type numericDate int64

func (n *numericDate) UnmarshalJSON(raw []byte) error {
	seconds, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || seconds < 0 || seconds > maxDate {
		return refuse(VerdictClaims, "a date is not a whole number of seconds")
	}
	*n = numericDate(seconds)
	return nil
}

func (n numericDate) time() time.Time { return time.Unix(int64(n), 0) }

// audience is one string or a list of them.
type audience []string

func (a *audience) UnmarshalJSON(raw []byte) error {
	if bytes.HasPrefix(raw, []byte(`"`)) {
		*a = make(audience, 1)
		return json.Unmarshal(raw, &(*a)[0])
	}
	return json.Unmarshal(raw, (*[]string)(a))
}

// factors is exactly two whole numbers of minutes, -1 for never.
type factors [2]int

func (f *factors) UnmarshalJSON(raw []byte) error {
	var both []int
	if err := json.Unmarshal(raw, &both); err != nil {
		return err
	}
	if len(both) != 2 || both[0] < Never || both[1] < Never || both[0] > maxDate || both[1] > maxDate {
		return refuse(VerdictClaims, "fva is not two ages in minutes")
	}
	*f = factors(both)
	return nil
}

func parseClaims(payload []byte) (*claims, error) {
	if first := bytes.TrimLeft(payload, " \t\r\n"); !bytes.HasPrefix(first, []byte("{")) {
		return nil, refuse(VerdictClaims, "the claims are no object")
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		// The decoder's text may quote the token, so it is dropped.
		return nil, refuse(VerdictClaims, "a claim has the wrong type or stands twice")
	}
	return &c, nil
}

// organization reads the active organization from claims of either version.
func (c *claims) organization(version int) (*Organization, error) {
	if version == 2 {
		return c.organizationV2()
	}
	if text(c.OrgID) == "" {
		return nil, nil //nolint:nilnil // no organization is active
	}
	return &Organization{
		ID: *c.OrgID, Slug: text(c.OrgSlug), Role: bareRole(text(c.OrgRole)), Permissions: c.OrgPermissions,
	}, nil
}

func (c *claims) organizationV2() (*Organization, error) {
	if c.Org == nil {
		return nil, nil //nolint:nilnil // no organization is active
	}
	if c.Org.ID == "" {
		return nil, refuse(VerdictClaims, "o has no id")
	}
	permissions, err := unpackPermissions(words(text(c.Features)), words(c.Org.Per), words(c.Org.FPM))
	if err != nil {
		return nil, err
	}
	return &Organization{ID: c.Org.ID, Slug: c.Org.Slug, Role: bareRole(c.Org.Role), Permissions: permissions}, nil
}

// unpackPermissions joins what version 2 packs: for the n-th feature of the organization, the n-th number of fpm has a
// bit for each name in per, lowest first.
func unpackPermissions(features, names, masks []string) ([]string, error) {
	var out []string
	at := 0
	for _, feature := range features {
		scope, name, ok := strings.Cut(feature, ":")
		if !ok || !strings.Contains(scope, "o") {
			continue
		}
		if at >= len(masks) {
			break
		}
		mask, err := strconv.ParseUint(masks[at], 10, 64)
		if err != nil {
			return nil, refuse(VerdictClaims, "o.fpm is not a list of numbers")
		}
		at++
		for bit, permission := range names {
			if bit < 64 && mask&(1<<bit) != 0 {
				out = append(out, "org:"+name+":"+permission)
			}
		}
	}
	return out, nil
}

func bareRole(role string) string { return strings.TrimPrefix(role, "org:") }

// words cuts a comma list.
func words(list string) []string {
	var out []string
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, word)
		}
	}
	return out
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
