package session

import (
	"bytes"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"
)

// claims is the payload of a token. Claims that decide about access have strict types. The others are optional: a value of
// another type counts as absent, because Clerk lets an application add any claim to its tokens. The decoder is go-jose's: it
// tells "sub" from "SUB" and refuses a duplicate name, which encoding/json does not.
type claims struct {
	Issuer    *string      `json:"iss"`
	Subject   *string      `json:"sub"`
	SessionID *string      `json:"sid"`
	Party     optionalText `json:"azp"`
	Audience  audience     `json:"aud"`
	Expires   *numericDate `json:"exp"`
	Issued    *numericDate `json:"iat"`
	NotBefore *numericDate `json:"nbf"`

	Version  *int         `json:"v"`
	Status   *string      `json:"sts"`
	Factors  *factors     `json:"fva"`
	Plans    optionalText `json:"pla"`
	Features optionalText `json:"fea"`

	// Who impersonates the user. In a JWT template's token an absent claim tells less than null.
	Actor json.RawMessage `json:"act"`

	// The active organization in version 2. A version 1 token may use the name for something else.
	Org json.RawMessage `json:"o"`

	// The active organization in version 1. A version 2 token may use these names for something else.
	OrgID          json.RawMessage `json:"org_id"`
	OrgSlug        optionalText    `json:"org_slug"`
	OrgRole        json.RawMessage `json:"org_role"`
	OrgPermissions textList        `json:"org_permissions"`

	Email     optionalText `json:"email"`
	FirstName optionalText `json:"firstName"`
	LastName  optionalText `json:"lastName"`
	UserID    optionalText `json:"userId"` // read only from a JWT template's token
}

type orgClaim struct {
	ID   string       `json:"id"`
	Slug optionalText `json:"slg"`
	Role string       `json:"rol"`
	Per  optionalText `json:"per"`
	FPM  optionalText `json:"fpm"`
}

type actorClaim struct {
	Subject   string `json:"sub"`
	SessionID string `json:"sid"`
}

// optionalText is a string; a value of another type counts as the empty string.
type optionalText string

// UnmarshalJSON never fails.
func (o *optionalText) UnmarshalJSON(raw []byte) error {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		s = ""
	}
	*o = optionalText(s)
	return nil
}

// textList is a list of strings; a value of another type counts as the empty list.
type textList []string

// UnmarshalJSON never fails.
func (l *textList) UnmarshalJSON(raw []byte) error {
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		list = nil
	}
	*l = list
	return nil
}

// maxDate is the last second that a date may name. It keeps the arithmetic of time.Time exact.
const maxDate = 1 << 40

// numericDate is seconds since 1970. RFC 7519 allows fractions.
type numericDate float64

// UnmarshalJSON refuses text, and dates out of range.
func (n *numericDate) UnmarshalJSON(raw []byte) error {
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || !(seconds >= 0 && seconds <= maxDate) {
		return refuse(VerdictClaims, "a date is not a number of seconds")
	}
	*n = numericDate(seconds)
	return nil
}

func (n numericDate) time() time.Time {
	whole, fraction := math.Modf(float64(n))
	return time.Unix(int64(whole), int64(fraction*float64(time.Second)))
}

// audience is one string or a list of strings. A value of another type names nobody.
type audience []string

// UnmarshalJSON never fails.
func (a *audience) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*a = audience{one}
		return nil
	}
	var list textList
	_ = list.UnmarshalJSON(raw)
	*a = audience(list)
	return nil
}

// factors is exactly two ages in minutes, Never for a factor that was not verified. A fraction of a minute is rounded up:
// the factor is taken for older, never for younger.
type factors [2]int

// UnmarshalJSON refuses anything but two ages.
func (f *factors) UnmarshalJSON(raw []byte) error {
	var both []float64
	if err := json.Unmarshal(raw, &both); err != nil {
		return err
	}
	valid := func(age float64) bool { return age == Never || age >= 0 && age <= maxDate }
	if len(both) != 2 || !valid(both[0]) || !valid(both[1]) {
		return refuse(VerdictClaims, "fva is not two ages in minutes")
	}
	*f = factors{int(math.Ceil(both[0])), int(math.Ceil(both[1]))}
	return nil
}

func parseClaims(payload []byte) (*claims, error) {
	if first := bytes.TrimLeft(payload, " \t\r\n"); !bytes.HasPrefix(first, []byte("{")) {
		return nil, refuse(VerdictClaims, "the claims are not an object")
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		// The decoder's text may quote the token, so it is dropped.
		return nil, refuse(VerdictClaims, "a claim has the wrong type or a duplicate name")
	}
	return &c, nil
}

// organization reads the active organization from claims of either version; nil if none exists.
func (c *claims) organization(version int) (*Organization, error) {
	if version == 2 {
		return c.organizationV2()
	}
	id, err := requiredText("org_id", c.OrgID)
	if err != nil || id == "" {
		return nil, err
	}
	role, err := requiredText("org_role", c.OrgRole)
	if err != nil {
		return nil, err
	}
	return &Organization{ID: id, Slug: string(c.OrgSlug), Role: bareRole(role), Permissions: c.OrgPermissions}, nil
}

// requiredText is a claim that decides about access: a value of another type is not taken for an absent one.
func requiredText(name string, raw json.RawMessage) (string, error) {
	if len(raw) == 0 {
		return "", nil
	}
	var value *string
	if err := json.Unmarshal(raw, &value); err != nil {
		return "", refuse(VerdictClaims, name+" is not text")
	}
	return text(value), nil
}

func (c *claims) organizationV2() (*Organization, error) {
	var org *orgClaim
	if len(c.Org) > 0 {
		if err := json.Unmarshal(c.Org, &org); err != nil {
			return nil, refuse(VerdictClaims, "o is not an organization")
		}
	}
	if org == nil {
		return nil, nil //nolint:nilnil // no organization is active
	}
	if org.ID == "" {
		return nil, refuse(VerdictClaims, "o has no id")
	}
	permissions := unpackPermissions(string(c.Features), string(org.Per), string(org.FPM))
	return &Organization{ID: org.ID, Slug: string(org.Slug), Role: bareRole(org.Role), Permissions: permissions}, nil
}

// unpackPermissions joins what version 2 packs into three lists: the n-th feature of the organization has the n-th number
// of fpm, which has a bit for each name in per, lowest first. The lists are positional: an empty or unreadable place keeps
// its position and grants nothing.
func unpackPermissions(features, names, masks string) []string {
	var out []string
	all, permissions := organizationFeatures(features), places(names)
	for at, mask := range places(masks) {
		if at >= len(all) {
			break
		}
		bits, ok := new(big.Int).SetString(mask, 10)
		if !ok || bits.Sign() < 0 || all[at] == "" {
			continue // Clerk's own 64-bit counter overflows at the 64th permission
		}
		for bit := range min(bits.BitLen(), len(permissions)) {
			if permissions[bit] != "" && bits.Bit(bit) == 1 {
				out = append(out, "org:"+all[at]+":"+permissions[bit])
			}
		}
	}
	return out
}

// organizationFeatures are the features that have a place in fpm, in order. An entry without a scope keeps its place, but
// has no name: nobody can tell whether it was the organization's.
func organizationFeatures(list string) []string {
	var out []string
	for _, entry := range places(list) {
		switch scope, name, ok := strings.Cut(entry, ":"); {
		case !ok:
			out = append(out, "")
		case scope == "o" || scope == "uo" || scope == "ou":
			out = append(out, name)
		}
	}
	return out
}

// actor reads who impersonates the user; nil for nobody.
func (c *claims) actor() (*Actor, error) {
	var claim *actorClaim
	if len(c.Actor) > 0 {
		if err := json.Unmarshal(c.Actor, &claim); err != nil {
			return nil, refuse(VerdictClaims, "act is not an actor")
		}
	}
	if claim == nil {
		return nil, nil //nolint:nilnil // nobody impersonates the user
	}
	if claim.Subject == "" {
		return nil, refuse(VerdictClaims, "act has no sub")
	}
	return &Actor{UserID: claim.Subject, SessionID: claim.SessionID}, nil
}

func bareRole(role string) string { return strings.TrimPrefix(role, "org:") }

// places cuts a positional comma list and keeps its empty places.
func places(list string) []string {
	if list == "" {
		return nil
	}
	out := strings.Split(list, ",")
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

// words cuts a comma list whose order means nothing.
func words(list string) []string {
	return slices.DeleteFunc(places(list), func(word string) bool { return word == "" })
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
