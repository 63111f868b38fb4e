package svix_test

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/svix"
)

var (
	now    = time.Unix(1_800_000_000, 0)       //nolint:gochecknoglobals // a constant
	newest = secret("the newest secret there") //nolint:gochecknoglobals // a constant
	older  = secret("an older secret still good")
	gone   = secret("a secret that was rotated out")
)

func secret(key string) string { return "whsec_" + base64.StdEncoding.EncodeToString([]byte(key)) }

func mac(new func() hash.Hash, secret, text string) []byte {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	m := hmac.New(new, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// sign is what a sender puts in its signature header.
func sign(secret, id, stamp, body string) string {
	return "v1," + base64.StdEncoding.EncodeToString(mac(sha256.New, secret, id+"."+stamp+"."+body))
}

const (
	id   = "msg_2abc"
	body = `{"type":"user.created","data":{"id":"user_1"}}`
)

func stamp(offset time.Duration) string { return strconv.FormatInt(now.Add(offset).Unix(), 10) }

// message is one that a vector changes.
type message struct {
	headers map[string]string
	body    string
}

func good() message {
	return message{body: body, headers: map[string]string{
		"svix-id": id, "svix-timestamp": stamp(0), "svix-signature": sign(newest, id, stamp(0), body),
	}}
}

func (m message) with(changes map[string]string) message {
	m.headers = maps.Clone(m.headers)
	maps.Copy(m.headers, changes)
	return m
}

func (m message) without(names ...string) message {
	m.headers = maps.Clone(m.headers)
	for _, name := range names {
		delete(m.headers, name)
	}
	return m
}

func (m message) renamed(from, to string) message {
	renamed := map[string]string{}
	for name, value := range m.headers {
		renamed[strings.Replace(name, from, to, 1)] = value
	}
	m.headers = renamed
	return m
}

func (m message) saying(body string) message { m.body = body; return m }

// sent is a message with its own signature.
func sent(secret, id, stamp, body string) message {
	return message{body: body, headers: map[string]string{
		"svix-id": id, "svix-timestamp": stamp, "svix-signature": sign(secret, id, stamp, body),
	}}
}

func signature(m string) map[string]string { return map[string]string{"svix-signature": m} }

func TestVectors(t *testing.T) {
	right := sign(newest, id, stamp(0), body)
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(right, "v1,"))
	huge := `{"a":"` + strings.Repeat("x", 1<<20) + `"}`
	for name, v := range map[string]struct {
		message message
		want    error
	}{
		// Good ones.
		"newest secret":                {good(), nil},
		"older secret":                 {sent(older, id, stamp(0), body), nil},
		"both, as while rotating":      {good().with(signature(sign(older, id, stamp(0), body) + " " + right)), nil},
		"right one among wrong ones":   {good().with(signature("v1,AAAA " + sign(gone, id, stamp(0), body) + " " + right)), nil},
		"right one before garbage":     {good().with(signature(right + " v1,%%% x")), nil},
		"another version beside it":    {good().with(signature("v1a,AAAA " + right)), nil},
		"two spaces between":           {good().with(signature("v1,AAAA  " + right)), nil},
		"same signature twice":         {good().with(signature(right + " " + right)), nil},
		"webhook- headers":             {good().renamed("svix-", "webhook-"), nil},
		"both families":                {good().with(map[string]string{"webhook-id": "other", "webhook-timestamp": "1", "webhook-signature": "v1,x"}), nil},
		"oldest time":                  {sent(newest, id, "1799999700", body), nil}, // 300 s
		"latest time":                  {sent(newest, id, "1800000300", body), nil},
		"id with a tilde":              {sent(newest, "msg~1", stamp(0), body), nil},
		"id of all sorts":              {sent(newest, "!\"#$%&'()*+,-/09:;<=>?@AZ[\\]^_`az{|}~", stamp(0), body), nil},
		"a tab between":                {good().with(signature("v1,AAAA\t" + right)), nil},
		"spaces around":                {good().with(signature("  " + right + " ")), nil},
		"time of 12 digits":            {sent(newest, id, "00"+stamp(0), body), nil},
		"webhook- headers, older key":  {sent(older, id, stamp(0), body).renamed("svix-", "webhook-"), nil},
		"empty body":                   {sent(newest, id, stamp(0), ""), nil},
		"body that is not UTF-8":       {sent(newest, id, stamp(0), "\xff\xfe\x00"), nil},
		"body of 1 MiB":                {sent(newest, id, stamp(0), huge), nil},
		"body with CRLF":               {sent(newest, id, stamp(0), "{\r\n}\r\n"), nil},
		"longest id":                   {sent(newest, strings.Repeat("m", 128), stamp(0), body), nil},
		"64 signatures, the last good": {good().with(signature(strings.Repeat("v1,AAAA ", 63) + right)), nil},

		// Missing parts.
		"nothing at all":                          {message{body: body}, svix.Missing},
		"no id":                                   {good().without("svix-id"), svix.Missing},
		"no time":                                 {good().without("svix-timestamp"), svix.Missing},
		"no signature":                            {good().without("svix-signature"), svix.Missing},
		"empty id":                                {good().with(map[string]string{"svix-id": ""}), svix.Missing},
		"empty signature":                         {good().with(signature("")), svix.Missing},
		"half of each family":                     {good().without("svix-signature").with(map[string]string{"webhook-signature": right}), svix.Missing},
		"Stripe's header":                         {message{body: body, headers: map[string]string{"stripe-signature": "t=1,v1=ab"}}, svix.Missing},
		"no id, webhook- headers":                 {good().renamed("svix-", "webhook-").without("webhook-id"), svix.Missing},
		"svix-signature alone beside webhook-":    {good().renamed("svix-", "webhook-").with(signature(right)), svix.Missing},
		"svix-id alone beside webhook-":           {good().renamed("svix-", "webhook-").with(map[string]string{"svix-id": id}), svix.Missing},
		"svix-timestamp alone beside webhook-":    {good().renamed("svix-", "webhook-").with(map[string]string{"svix-timestamp": stamp(0)}), svix.Missing},
		"svix-id and time beside webhook-":        {good().renamed("svix-", "webhook-").with(map[string]string{"svix-id": id, "svix-timestamp": stamp(0)}), svix.Missing},
		"svix-id and signature beside webhook-":   {good().renamed("svix-", "webhook-").with(map[string]string{"svix-id": id, "svix-signature": right}), svix.Missing},
		"svix-time and signature beside webhook-": {good().renamed("svix-", "webhook-").with(map[string]string{"svix-timestamp": stamp(0), "svix-signature": right}), svix.Missing},
		"no time, webhook- headers":               {good().renamed("svix-", "webhook-").without("webhook-timestamp"), svix.Missing},
		"no signature, webhook- headers":          {good().renamed("svix-", "webhook-").without("webhook-signature"), svix.Missing},
		"names in upper case only":                {good().renamed("svix-", "SVIX-"), svix.Missing},

		// Malformed parts, signed or not.
		"time with a sign":             {sent(newest, id, "+"+stamp(0), body), svix.Malformed},
		"negative time":                {sent(newest, id, "-1", body), svix.Malformed},
		"time with a fraction":         {sent(newest, id, stamp(0)+".5", body), svix.Malformed},
		"time in milliseconds":         {sent(newest, id, stamp(0)+"000", body), svix.Malformed},
		"time in hex":                  {sent(newest, id, "0x6b49d200", body), svix.Malformed},
		"time as a date":               {sent(newest, id, now.Format(time.RFC3339), body), svix.Malformed},
		"time with a space":            {sent(newest, id, " "+stamp(0), body), svix.Malformed},
		"time beyond 64 bits":          {sent(newest, id, strings.Repeat("9", 30), body), svix.Malformed},
		"id with a dot":                {sent(newest, "msg.1", stamp(0), body), svix.Malformed},
		"id with a space":              {sent(newest, "msg 1", stamp(0), body), svix.Malformed},
		"id with a line break":         {sent(newest, "msg\n1", stamp(0), body), svix.Malformed},
		"id that is not ASCII":         {sent(newest, "msg_\xff", stamp(0), body), svix.Malformed},
		"id with a DEL":                {sent(newest, "msg\x7f", stamp(0), body), svix.Malformed},
		"id with a tab":                {sent(newest, "msg\t1", stamp(0), body), svix.Malformed},
		"id with a NUL":                {sent(newest, "msg\x00", stamp(0), body), svix.Malformed},
		"time of 13 digits":            {sent(newest, id, "000"+stamp(0), body), svix.Malformed},
		"time with a space at its end": {sent(newest, id, stamp(0)+" ", body), svix.Malformed},
		"time with an underscore":      {sent(newest, id, "1_800_000_000", body), svix.Malformed},
		"id too long":                  {sent(newest, strings.Repeat("m", 129), stamp(0), body), svix.Malformed},
		"65 signatures":                {good().with(signature(strings.Repeat("v1,AAAA ", 64) + right)), svix.Malformed},

		// Out of time.
		"stale by a second":  {sent(newest, id, "1799999699", body), svix.Stale}, // 301 s
		"of 1970":            {sent(newest, id, "0", body), svix.Stale},
		"ahead by a second":  {sent(newest, id, "1800000301", body), svix.Future},
		"ten years ahead":    {sent(newest, id, stamp(10*365*24*time.Hour), body), svix.Future},
		"in the year 33,000": {sent(newest, id, "999999999999", body), svix.Future},

		// Wrong signatures.
		"rotated out":                     {sent(gone, id, stamp(0), body), svix.Mismatch},
		"body changed":                    {good().saying(body + " "), svix.Mismatch},
		"body cut":                        {good().saying(body[:len(body)-1]), svix.Mismatch},
		"body emptied":                    {good().saying(""), svix.Mismatch},
		"another id":                      {good().with(map[string]string{"svix-id": "msg_other"}), svix.Mismatch},
		"another time":                    {good().with(map[string]string{"svix-timestamp": stamp(time.Second)}), svix.Mismatch},
		"time with a zero before it":      {good().with(map[string]string{"svix-timestamp": "0" + stamp(0)}), svix.Mismatch},
		"hex":                             {good().with(signature("v1," + hex.EncodeToString(raw))), svix.Mismatch},
		"base64 of the URL alphabet":      {good().with(signature("v1," + base64.URLEncoding.EncodeToString(append(raw[:31:31], 0xff)))), svix.Mismatch},
		"base64 without padding":          {good().with(signature(strings.TrimRight(right, "="))), svix.Mismatch},
		"base64 with other unused bits":   {good().with(signature(loose(right))), svix.Mismatch},
		"cut signature":                   {good().with(signature("v1," + base64.StdEncoding.EncodeToString(raw[:16]))), svix.Mismatch},
		"longer signature":                {good().with(signature("v1," + base64.StdEncoding.EncodeToString(append(raw[:32:32], 0)))), svix.Mismatch},
		"no version":                      {good().with(signature(strings.TrimPrefix(right, "v1,"))), svix.Mismatch},
		"version 2":                       {good().with(signature("v2" + strings.TrimPrefix(right, "v1"))), svix.Mismatch},
		"version in upper case":           {good().with(signature("V1" + strings.TrimPrefix(right, "v1"))), svix.Mismatch},
		"version and nothing":             {good().with(signature("v1,")), svix.Mismatch},
		"commas between":                  {good().with(signature("v1,AAAA," + right)), svix.Mismatch},
		"SHA-512":                         {good().with(signature("v1," + base64.StdEncoding.EncodeToString(mac(sha512.New, newest, id+"."+stamp(0)+"."+body)))), svix.Mismatch},
		"the body alone signed":           {good().with(signature("v1," + base64.StdEncoding.EncodeToString(mac(sha256.New, newest, body)))), svix.Mismatch},
		"signed with the secret's text":   {good().with(signature(sign(base64.StdEncoding.EncodeToString([]byte(newest)), id, stamp(0), body))), svix.Mismatch},
		"signed with an empty key":        {good().with(signature(sign("", id, stamp(0), body))), svix.Mismatch},
		"parts joined otherwise":          {good().with(signature("v1," + base64.StdEncoding.EncodeToString(mac(sha256.New, newest, id+stamp(0)+body)))), svix.Mismatch},
		"another family's good signature": {good().with(map[string]string{"svix-signature": sign(gone, id, stamp(0), body), "webhook-id": id, "webhook-timestamp": stamp(0), "webhook-signature": right}), svix.Mismatch},
		"version with a space":            {good().with(signature("v1, " + strings.TrimPrefix(right, "v1,"))), svix.Mismatch},
		"newline within":                  {good().with(signature(right[:20] + "\n" + right[20:])), svix.Mismatch},
		"padding and more":                {good().with(signature(right + "=")), svix.Mismatch},
		"webhook- signature of no value":  {good().renamed("svix-", "webhook-").with(map[string]string{"webhook-signature": "v1,AAAA"}), svix.Mismatch},
	} {
		t.Run(name, func(t *testing.T) {
			verifier, err := svix.New([]string{newest, older}, func() time.Time { return now })
			require.NoError(t, err)
			got, err := verifier.Verify(v.message.headers, []byte(v.message.body))
			if v.want == nil {
				require.NoError(t, err)
				require.Equal(t, cmp.Or(v.message.headers["svix-id"], v.message.headers["webhook-id"]), got)
				return
			}
			require.Equal(t, v.want, err)
			require.Empty(t, got)
		})
	}
}

// loose changes bits of the last character that a lenient decoder ignores.
func loose(signature string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	at := len(signature) - 2
	last := strings.IndexByte(alphabet, signature[at])
	return signature[:at] + string(alphabet[last|1]) + "="
}

func TestVerifierNeedsASecret(t *testing.T) {
	verifier, err := svix.New(nil, func() time.Time { return now })
	require.NoError(t, err)
	_, err = verifier.Verify(good().headers, []byte(body))
	require.Equal(t, svix.Mismatch, err)
}

// A secret's key is base64 of the standard alphabet, of 16 bytes at least; every one of the secrets counts.
func TestGoodSecrets(t *testing.T) {
	for name, good := range map[string]string{
		"16 bytes": secret("0123456789abcdef"), "24 bytes": secret("0123456789abcdef01234567"),
		"both signs that the URL alphabet lacks": secret("\xfb\xef\xff\xfb\xef\xff0123456789abcdef"),
	} {
		verifier, err := svix.New([]string{newest, good, older}, func() time.Time { return now })
		require.NoError(t, err, name)
		for _, one := range []string{newest, good, older} {
			m := sent(one, id, stamp(0), body)
			got, err := verifier.Verify(m.headers, []byte(body))
			require.NoError(t, err, name)
			require.Equal(t, id, got, name)
		}
	}
	require.Contains(t, secret("\xfb\xef\xff\xfb\xef\xff0123456789abcdef"), "++//")
}

// The bound is that of Svix and of Stripe: 5 minutes.
func TestTolerance(t *testing.T) { require.Equal(t, 300*time.Second, svix.Tolerance) }

func TestSecrets(t *testing.T) {
	for name, bad := range map[string]string{
		"empty": "", "no prefix": strings.TrimPrefix(newest, "whsec_"), "not base64": "whsec_!!!!",
		"too short": secret("short"), "15 bytes": secret("0123456789abcde"), "base64 of the URL alphabet": "whsec_--__--__0123456789abcdef0123", "a space at its end": newest + " ", "only the prefix": "whsec_", "another prefix": "sk_test_" + newest, "space": " " + newest,
	} {
		_, err := svix.New([]string{newest, bad}, time.Now)
		require.ErrorIs(t, err, svix.ErrSecret, name)
		require.ErrorContains(t, err, "secret 2 is not", name)
		if len(bad) > 8 {
			require.NotContains(t, err.Error(), bad, name)
		}
	}
}

// FuzzVerify: whatever comes, it does not panic, and only the one good message passes.
func FuzzVerify(f *testing.F) {
	for _, m := range []message{
		good(), sent(newest, "msg~1", stamp(-5*time.Minute), "\xff"), sent(older, id, stamp(0), ""), sent(newest, id, "00"+stamp(0), ""),
		good().with(signature("v1,AAAA\t" + sign(newest, id, stamp(0), body) + " v1a,x")),
	} {
		f.Add(m.headers["svix-id"], m.headers["svix-timestamp"], m.headers["svix-signature"], []byte(m.body))
	}
	verifier, err := svix.New([]string{newest}, func() time.Time { return now })
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, id, stamp, signatures string, body []byte) {
		got, err := verifier.Verify(map[string]string{"svix-id": id, "svix-timestamp": stamp, "svix-signature": signatures}, body)
		if err != nil {
			_, verdict := errors.AsType[svix.Verdict](err)
			require.True(t, verdict, err)
			require.Empty(t, got)
			return
		}
		require.Equal(t, id, got)
		require.LessOrEqual(t, len(got), 128)
		require.False(t, strings.ContainsFunc(got, func(c rune) bool { return c <= ' ' || c > '~' || c == '.' }), "%q", got)
		require.Contains(t, strings.Fields(signatures), sign(newest, id, stamp, string(body)))
	})
}
