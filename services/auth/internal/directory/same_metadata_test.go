package directory_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// Metadata is compared by its content: an object without names is the same as none, whatever its text.
func TestSameMetadata(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{"", "{}"}: true, {"null", "{}"}: true, {"{}", " { } "}: true, {`{"a":1,"b":2}`, `{"b":2,"a":1}`}: true,
		{"{}", `{"a":1}`}: false, {`{"a":1}`, ""}: false, {`{"a":1}`, `{"a":2}`}: false, {`{"a":null}`, "{}"}: false,
	} {
		a, b := json.RawMessage(pair[0]), json.RawMessage(pair[1])
		require.Equal(t, want, directory.SameUser(directory.User{PublicMetadata: a}, directory.User{PublicMetadata: b}), "%q", pair)
		require.Equal(t, want, directory.SameOrganization(directory.Organization{PublicMetadata: a}, directory.Organization{PublicMetadata: b}), "%q", pair)
	}
}
