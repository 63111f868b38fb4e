package stripesig_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/stripesig"
)

const (
	newest = "whsec_the_newest_secret_there"
	older  = "whsec_an_older_secret_still_good"
	gone   = "whsec_a_secret_that_was_rotated_out"
	body   = `{"id":"evt_1","object":"event","type":"customer.updated"}`
)

func at() time.Time { return time.Unix(1_800_000_000, 0) }

func stamp(offset time.Duration) string { return strconv.FormatInt(at().Add(offset).Unix(), 10) }

func mac(new func() hash.Hash, secret, text string) []byte {
	m := hmac.New(new, []byte(secret))
	m.Write([]byte(text))
	return m.Sum(nil)
}

func v1(secret, stamp, body string) string {
	return hex.EncodeToString(mac(sha256.New, secret, stamp+"."+body))
}

// header is what Stripe sends.
func header(secret, stamp, body string) string {
	return "t=" + stamp + ",v1=" + v1(secret, stamp, body)
}

func TestVectors(t *testing.T) {
	now := stamp(0)
	right := v1(newest, now, body)
	zeros := strings.Repeat("0", 64)
	huge := `{"a":"` + strings.Repeat("x", 1<<20) + `"}`
	for name, v := range map[string]struct {
		header, body string
		want         error
	}{
		// Good ones.
		"newest secret":                 {header(newest, now, body), body, nil},
		"older secret":                  {header(older, now, body), body, nil},
		"both, as while rotating":       {"t=" + now + ",v1=" + v1(older, now, body) + ",v1=" + right, body, nil},
		"the rotated one and a good":    {"t=" + now + ",v1=" + v1(gone, now, body) + ",v1=" + right, body, nil},
		"right one among wrong ones":    {"t=" + now + ",v1=" + zeros + ",v1=" + right + ",v1=" + zeros, body, nil},
		"right one before garbage":      {"t=" + now + ",v1=" + right + ",v1=xyz,,=,foo", body, nil},
		"test mode's v0 beside it":      {"t=" + now + ",v1=" + right + ",v0=" + zeros, body, nil},
		"v0 first":                      {"t=" + now + ",v0=" + zeros + ",v1=" + right, body, nil},
		"time last":                     {"v1=" + right + ",t=" + now, body, nil},
		"same signature twice":          {"t=" + now + ",v1=" + right + ",v1=" + right, body, nil},
		"oldest time":                   {header(newest, "1799999700", body), body, nil}, // 300 s
		"latest time":                   {header(newest, "1800000300", body), body, nil},
		"the time twice, the same":      {"t=" + now + ",t=" + now + ",v1=" + right, body, nil},
		"time of 12 digits":             {header(newest, "00"+now, body), body, nil},
		"empty body":                    {header(newest, now, ""), "", nil},
		"body that is not UTF-8":        {header(newest, now, "\xff\xfe\x00"), "\xff\xfe\x00", nil},
		"body of 1 MiB":                 {header(newest, now, huge), huge, nil},
		"body with CRLF":                {header(newest, now, "{\r\n}\r\n"), "{\r\n}\r\n", nil},
		"64 parts, the last is good":    {"t=" + now + strings.Repeat(",v1="+zeros, 62) + ",v1=" + right, body, nil},
		"time signed with a zero first": {header(newest, "0"+now, body), body, nil},

		// Forms that Stripe does not write and its own library refuses.
		"space after a comma":       {"t=" + now + ", v1=" + right, body, stripesig.Mismatch},
		"space before the time":     {" t=" + now + ",v1=" + right, body, stripesig.Malformed},
		"space before a comma":      {"v1=" + right + " ,t=" + now, body, stripesig.Mismatch},
		"space after all":           {"t=" + now + ",v1=" + right + " ", body, stripesig.Mismatch},
		"hex in upper case":         {"t=" + now + ",v1=" + strings.ToUpper(right), body, stripesig.Mismatch},
		"one digit in upper case":   {"t=" + now + ",v1=" + oneUpper(right), body, stripesig.Mismatch},
		"upper case, then right":    {"t=" + now + ",v1=" + strings.ToUpper(right) + ",v1=" + right, body, nil},
		"same header twice, joined": {header(newest, now, body) + "," + header(newest, now, body), body, nil},

		// Missing parts.
		"nothing":                       {"", body, stripesig.Missing},
		"no time":                       {"v1=" + right, body, stripesig.Malformed},
		"a time, and then an empty one": {"t=" + now + ",t=,v1=" + right, body, stripesig.Malformed},
		"an empty time between two":     {"t=" + now + ",t=,t=" + now + ",v1=" + right, body, stripesig.Malformed},
		"a name without a value":        {"t,v1=" + right, body, stripesig.Malformed},
		"empty time":                    {"t=,v1=" + right, body, stripesig.Malformed},
		"no signature":                  {"t=" + now, body, stripesig.Mismatch},
		"empty signature":               {"t=" + now + ",v1=", body, stripesig.Mismatch},
		"v0 only":                       {"t=" + now + ",v0=" + right, body, stripesig.Mismatch},
		"v2 only":                       {"t=" + now + ",v2=" + right, body, stripesig.Mismatch},
		"V1":                            {"t=" + now + ",V1=" + right, body, stripesig.Mismatch},
		"only commas":                   {",,,", body, stripesig.Malformed},
		"only a space":                  {" ", body, stripesig.Malformed},
		"Svix's form":                   {"v1," + base64.StdEncoding.EncodeToString(mac(sha256.New, newest, body)), body, stripesig.Malformed},

		// Malformed times, signed or not.
		"time with a sign":          {header(newest, "+"+now, body), body, stripesig.Malformed},
		"negative time":             {header(newest, "-1", body), body, stripesig.Malformed},
		"time with a fraction":      {header(newest, now+".5", body), body, stripesig.Malformed},
		"time in milliseconds":      {header(newest, now+"000", body), body, stripesig.Malformed},
		"time in hex":               {header(newest, "0x6b49d200", body), body, stripesig.Malformed},
		"time as a date":            {header(newest, at().Format(time.RFC3339), body), body, stripesig.Malformed},
		"time with a space inside":  {"t= " + now + ",v1=" + right, body, stripesig.Malformed},
		"time of 13 digits":         {header(newest, "000"+now, body), body, stripesig.Malformed},
		"time with an underscore":   {header(newest, "1_800_000_000", body), body, stripesig.Malformed},
		"T":                         {"T=" + now + ",v1=" + right, body, stripesig.Malformed},
		"tab before the time":       {"\tt=" + now + ",v1=" + right, body, stripesig.Malformed},
		"time beyond 64 bits":       {header(newest, strings.Repeat("9", 30), body), body, stripesig.Malformed},
		"two times, the first good": {"t=" + now + ",t=1,v1=" + right, body, stripesig.Malformed},
		"two times, the last good":  {"t=1,t=" + now + ",v1=" + right, body, stripesig.Malformed},
		"65 parts":                  {"t=" + now + strings.Repeat(",v1="+zeros, 63) + ",v1=" + right, body, stripesig.Malformed},

		// Out of time.
		"stale by a second":  {header(newest, "1799999699", body), body, stripesig.Stale}, // 301 s
		"of 1970":            {header(newest, "0", body), body, stripesig.Stale},
		"ahead by a second":  {header(newest, "1800000301", body), body, stripesig.Future},
		"ten years ahead":    {header(newest, stamp(10*365*24*time.Hour), body), body, stripesig.Future},
		"in the year 33,000": {header(newest, "999999999999", body), body, stripesig.Future},

		// Wrong signatures.
		"rotated out":              {header(gone, now, body), body, stripesig.Mismatch},
		"body changed":             {header(newest, now, body), body + " ", stripesig.Mismatch},
		"body cut":                 {header(newest, now, body), body[:len(body)-1], stripesig.Mismatch},
		"body emptied":             {header(newest, now, body), "", stripesig.Mismatch},
		"another time":             {"t=" + stamp(time.Second) + ",v1=" + right, body, stripesig.Mismatch},
		"time with a zero before":  {"t=0" + now + ",v1=" + right, body, stripesig.Mismatch},
		"base64":                   {"t=" + now + ",v1=" + base64.StdEncoding.EncodeToString(mac(sha256.New, newest, now+"."+body)), body, stripesig.Mismatch},
		"cut signature":            {"t=" + now + ",v1=" + right[:32], body, stripesig.Mismatch},
		"longer signature":         {"t=" + now + ",v1=" + right + "00", body, stripesig.Mismatch},
		"half a byte more":         {"t=" + now + ",v1=" + right + "0", body, stripesig.Mismatch},
		"space before signature":   {"t=" + now + ",v1= " + right, body, stripesig.Mismatch},
		"tab before signature":     {"t=" + now + ",\tv1=" + right, body, stripesig.Mismatch},
		"line break after":         {"t=" + now + ",v1=" + right + "\r\n", body, stripesig.Mismatch},
		"space within signature":   {"t=" + now + ",v1=" + right[:32] + " " + right[32:], body, stripesig.Mismatch},
		"v1 in v1":                 {"t=" + now + ",v1=v1=" + right, body, stripesig.Mismatch},
		"two equal signs":          {"t=" + now + ",v1==" + right, body, stripesig.Mismatch},
		"semicolon between":        {"t=" + now + ";v1=" + right, body, stripesig.Malformed},
		"all zero":                 {"t=" + now + ",v1=" + zeros, body, stripesig.Mismatch},
		"SHA-512, cut":             {"t=" + now + ",v1=" + hex.EncodeToString(mac(sha512.New, newest, now+"."+body)[:32]), body, stripesig.Mismatch},
		"plain SHA-256":            {"t=" + now + ",v1=" + plain(now+"."+body), body, stripesig.Mismatch},
		"the body alone signed":    {"t=" + now + ",v1=" + hex.EncodeToString(mac(sha256.New, newest, body)), body, stripesig.Mismatch},
		"joined otherwise":         {"t=" + now + ",v1=" + hex.EncodeToString(mac(sha256.New, newest, now+body)), body, stripesig.Mismatch},
		"secret without prefix":    {header(strings.TrimPrefix(newest, "whsec_"), now, body), body, stripesig.Mismatch},
		"signed with an empty key": {header("", now, body), body, stripesig.Mismatch},
		"both secrets as one":      {header(newest+","+older, now, body), body, stripesig.Mismatch},
	} {
		t.Run(name, func(t *testing.T) {
			verifier, err := stripesig.New([]string{newest, older}, at)
			require.NoError(t, err)
			err = verifier.Verify(map[string]string{stripesig.Header: v.header}, []byte(v.body))
			if v.want == nil {
				require.NoError(t, err)
				return
			}
			require.Equal(t, v.want, err)
		})
	}
}

func plain(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestOtherHeadersDoNotCount(t *testing.T) {
	verifier, err := stripesig.New([]string{newest}, at)
	require.NoError(t, err)
	good := header(newest, stamp(0), body)
	for _, name := range []string{"Stripe-Signature", "STRIPE-SIGNATURE", "svix-signature", "webhook-signature"} {
		require.Equal(t, stripesig.Missing, verifier.Verify(map[string]string{name: good}, []byte(body)), name)
	}
	require.Equal(t, stripesig.Missing, verifier.Verify(nil, nil))
}

func TestVerifierNeedsASecret(t *testing.T) {
	verifier, err := stripesig.New(nil, at)
	require.NoError(t, err)
	require.Equal(t, stripesig.Mismatch, verifier.Verify(map[string]string{stripesig.Header: header("", stamp(0), body)}, []byte(body)))
}

// The bound is that of Stripe's own libraries: 5 minutes.
func TestTolerance(t *testing.T) { require.Equal(t, 300*time.Second, stripesig.Tolerance) }

// A secret has 8 characters at least behind its prefix, and is taken whole; every one of the secrets counts.
func TestGoodSecrets(t *testing.T) {
	for _, good := range []string{"whsec_12345678", "whsec_+/=~é…12345678"} {
		verifier, err := stripesig.New([]string{newest, good, older}, at)
		require.NoError(t, err)
		for _, one := range []string{newest, good, older} {
			require.NoError(t, verifier.Verify(map[string]string{stripesig.Header: header(one, stamp(0), body)}, []byte(body)))
		}
	}
}

func TestSecrets(t *testing.T) {
	for name, bad := range map[string]string{
		"empty": "", "no prefix": strings.TrimPrefix(newest, "whsec_"), "too short": "whsec_short", "only the prefix": "whsec_",
		"a secret key": "sk_test_0123456789abcdef", "space before": " " + newest, "space within": "whsec_0123456789 abcdef", "line break": newest + "\n",
		"7 characters": "whsec_1234567", "tab": "whsec_0123456789\tabcdef", "carriage return": newest + "\r", "prefix in upper case": strings.ToUpper(newest),
	} {
		_, err := stripesig.New([]string{newest, bad}, time.Now)
		require.ErrorIs(t, err, stripesig.ErrSecret, name)
		require.ErrorContains(t, err, "secret 2 ", name)
		if len(bad) > len("whsec_") {
			require.NotContains(t, err.Error(), bad, name)
		}
	}
}

// FuzzVerify: whatever comes, it does not panic, and only what holds the one good signature passes.
func FuzzVerify(f *testing.F) {
	f.Add(header(newest, stamp(0), body), []byte(body))
	f.Add("t="+stamp(0)+",v0=00,v1="+v1(older, stamp(0), body)+",v1="+v1(newest, stamp(0), body), []byte(body))
	f.Add("t=,v1=,=,,", []byte{})
	f.Add("v1="+v1(newest, "00"+stamp(0), "\xff")+" ,\tt=1, t=00"+stamp(0), []byte("\xff"))
	verifier, err := stripesig.New([]string{newest}, at)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if err := verifier.Verify(map[string]string{stripesig.Header: header}, body); err != nil {
			_, verdict := errors.AsType[stripesig.Verdict](err)
			require.True(t, verdict, err)
			return
		}
		var stamps, signatures []string
		for part := range strings.SplitSeq(header, ",") {
			part = strings.Trim(part, " ")
			if stamp, ok := strings.CutPrefix(part, "t="); ok {
				stamps = append(stamps, stamp)
			}
			if signature, ok := strings.CutPrefix(part, "v1="); ok {
				signatures = append(signatures, strings.ToLower(signature))
			}
		}
		require.Len(t, slices.Compact(stamps), 1)
		require.Contains(t, signatures, v1(newest, stamps[0], string(body)))
		seconds, err := strconv.ParseInt(stamps[0], 10, 64)
		require.NoError(t, err)
		require.LessOrEqual(t, at().Sub(time.Unix(seconds, 0)).Abs(), 300*time.Second)
	})
}

// oneUpper changes one letter among the digits.
func oneUpper(hex string) string {
	i := strings.IndexAny(hex, "abcdef")
	return hex[:i] + strings.ToUpper(hex[i:i+1]) + hex[i+1:]
}
