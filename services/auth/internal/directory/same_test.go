package directory_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// differs changes each field of an object in turn and returns the names of those that same does not see.
func differs[T any](t *testing.T, same func(a, b T) bool) (unseen []string) {
	t.Helper()
	var plain T
	kind := reflect.TypeFor[T]()
	for n := range kind.NumField() {
		var changed T
		field := reflect.ValueOf(&changed).Elem().Field(n)
		switch value := field.Addr().Interface().(type) {
		case *string:
			*value = "x"
		case *bool:
			*value = true
		case *[]string:
			*value = []string{"x"}
		case *json.RawMessage:
			*value = json.RawMessage(`{"x":1}`)
		case *time.Time:
			*value = time.Unix(1, 0)
		default:
			t.Fatalf("field %s has a type that this test does not know", kind.Field(n).Name)
		}
		require.Equal(t, same(plain, changed), same(changed, plain))
		if same(plain, changed) {
			unseen = append(unseen, kind.Field(n).Name)
		}
	}
	return unseen
}

// TestReconcilingSeesEveryField: what Same does not compare is never repaired. Times say when, not what, and ids are equal.
func TestReconcilingSeesEveryField(t *testing.T) {
	times := []string{"CreateTime", "UpdateTime", "EventTime"}
	require.ElementsMatch(t, append([]string{"ID", "LockExpireTime"}, times...), differs(t, directory.SameUser))
	require.ElementsMatch(t, append([]string{"ID"}, times...), differs(t, directory.SameOrganization))
	require.ElementsMatch(t, append([]string{"ID", "OrganizationID", "UserID"}, times...), differs(t, directory.SameMembership))
	require.ElementsMatch(t, []string{"ID", "UpdateTime", "EventTime"}, differs(t, directory.SameRole))
}
