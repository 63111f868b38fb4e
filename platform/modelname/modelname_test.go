package modelname_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/modelname"
)

func TestModelOfABody(t *testing.T) {
	const form = "multipart/form-data; boundary=b"
	field := func(header, value string) string {
		return "--b\r\nContent-Disposition: form-data; " + header + "\r\n\r\n" + value + "\r\n"
	}
	for name, c := range map[string]struct{ kind, body, want string }{
		"an object":                 {"application/json", `{"messages": [], "model": "gpt-5"}`, "gpt-5"},
		"without a kind":            {"", "{\"model\"\n:\t\"gpt-5\"}", "gpt-5"},
		"cut off behind it":         {"", `{"model":"gpt-5","messages":[{"role":"us`, "gpt-5"},
		"cut off in it":             {"", `{"model":"gpt-`, ""},
		"cut off before it":         {"", `{"model":`, ""},
		"cut off in its name":       {"", `{"mod`, ""},
		"broken behind it":          {"", `{"model":"gpt-5",,,`, "gpt-5"},
		"escapes":                   {"", `{"model":"gpt\u002d5","a":"\\"}`, "gpt-5"},
		"a quote in a text before":  {"", `{"a":"\"model\":\"x\"","model":"gpt-5"}`, "gpt-5"},
		"a member of a member":      {"", `{"a":{"model":"x"},"b":[{"model":"y"}],"model":"gpt-5"}`, "gpt-5"},
		"only of a member":          {"", `{"a":{"model":"x"}}`, ""},
		"a value of that name":      {"", `{"a":"model","b":"x"}`, ""},
		"twice":                     {"", `{"model":"x","model":"gpt-5"}`, "gpt-5"},
		"no text":                   {"", `{"model":5}`, ""},
		"null":                      {"", `{"model":null}`, ""},
		"another spelling":          {"", `{"Model":"x"}`, ""},
		"not an object":             {"", `["model","x"]`, ""},
		"too deep":                  {"", `{"model":"gpt-5","a":` + strings.Repeat("[", 1000), "gpt-5"},
		"no JSON":                   {"", `model=gpt-5`, ""},
		"empty":                     {"", "", ""},
		"too long":                  {"", `{"model":"` + strings.Repeat("m", 129) + `"}`, ""},
		"as long as can be":         {"", `{"model":"` + strings.Repeat("m", 128) + `"}`, strings.Repeat("m", 128)},
		"a form":                    {form, field(`name="prompt"`, "hi") + field(`name="model"`, "gpt-image-1") + "--b--\r\n", "gpt-image-1"},
		"a form cut off behind it":  {form, field(`name="model"`, "gpt-image-1") + field(`name="image"; filename="a"`, "x"), "gpt-image-1"},
		"a form cut off in it":      {form, "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-", ""},
		"a file of that name":       {form, field(`name="model"; filename="a"`, "x") + "--b--\r\n", ""},
		"a form without it":         {form, field(`name="prompt"`, "hi") + "--b--\r\n", ""},
		"a form with a long one":    {form, field(`name="model"`, strings.Repeat("m", 129)) + "--b--\r\n", ""},
		"a form with many fields":   {form, strings.Repeat(field(`name="a"`, "hi"), 64) + field(`name="model"`, "x") + "--b--\r\n", ""},
		"a form without a boundary": {"multipart/form-data", field(`name="model"`, "x"), ""},
		"a form that is an object":  {form, `{"model":"x"}`, ""},
	} {
		require.Equal(t, c.want, modelname.Of(c.kind, []byte(c.body)), name)
	}
}
