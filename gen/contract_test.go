package gen_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	_ "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	_ "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

func eachFile(f func(protoreflect.FileDescriptor)) {
	protoregistry.GlobalFiles.RangeFiles(func(d protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(string(d.Package()), "trivet.") {
			f(d)
		}
		return true
	})
}

func eachMethod(f func(protoreflect.MethodDescriptor)) {
	eachFile(func(d protoreflect.FileDescriptor) {
		for i := range d.Services().Len() {
			for j := range d.Services().Get(i).Methods().Len() {
				f(d.Services().Get(i).Methods().Get(j))
			}
		}
	})
}

func eachField(f func(protoreflect.FieldDescriptor)) {
	eachFile(func(d protoreflect.FileDescriptor) {
		for i := range d.Messages().Len() {
			for j := range d.Messages().Get(i).Fields().Len() {
				f(d.Messages().Get(i).Fields().Get(j))
			}
		}
	})
}

// hasField reports whether a message has a field of that name and kind.
func hasField(m protoreflect.MessageDescriptor, name protoreflect.Name, kind protoreflect.Kind) bool {
	f := m.Fields().ByName(name)
	return f != nil && f.Kind() == kind
}

// A list that is not paged cannot become paged later without breaking callers.
func TestListsArePaged(t *testing.T) {
	lists := 0
	eachMethod(func(m protoreflect.MethodDescriptor) {
		if !strings.HasPrefix(string(m.Name()), "List") && m.Name() != "GetUsage" {
			return
		}
		lists++
		require.True(t, hasField(m.Input(), "page_size", protoreflect.Int32Kind), m.FullName())
		require.True(t, hasField(m.Input(), "page_token", protoreflect.StringKind), m.FullName())
		require.True(t, hasField(m.Output(), "next_page_token", protoreflect.StringKind), m.FullName())
	})
	require.GreaterOrEqual(t, lists, 12)
}

func httpRule(m protoreflect.MethodDescriptor) *annotations.HttpRule {
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	return rule
}

// An update changes the fields that its mask names, so a client that does not know a new field does not clear it.
func TestUpdatesArePatchesWithAMask(t *testing.T) {
	eachMethod(func(m protoreflect.MethodDescriptor) {
		rule := httpRule(m)
		update := strings.HasPrefix(string(m.Name()), "Update")
		require.Equal(t, update && rule != nil, rule.GetPatch() != "", "%s: Update and PATCH belong together", m.FullName())
		require.Empty(t, rule.GetPut(), m.FullName())
		if update {
			mask := m.Input().Fields().ByName("update_mask")
			require.NotNil(t, mask, m.FullName())
			require.EqualValues(t, "google.protobuf.FieldMask", mask.Message().FullName())
		}
	})
}

var collection = regexp.MustCompile(`^/api/v1(/[a-z]+)?/([a-z]+[A-Z]?[a-z]*)(:[a-z]+)?$`)

func TestPathsAreInLowerCamelCase(t *testing.T) {
	eachMethod(func(m protoreflect.MethodDescriptor) {
		rule := httpRule(m)
		path := rule.GetGet() + rule.GetPost() + rule.GetPatch() + rule.GetDelete()
		if path == "" {
			return
		}
		for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
			require.Regexp(t, `^([a-z][A-Za-z0-9]*|\{[a-z_]+\})(:[a-z][A-Za-z]*)?$`, part, path)
		}
		if strings.HasPrefix(string(m.Name()), "Create") {
			require.Regexp(t, collection, path)
			require.True(t, strings.HasSuffix(path, "s"), "%s creates in a collection: %s", m.FullName(), path)
		}
	})
}

// sums are the messages whose counts add up over time. Everywhere else a count is of one call and fits into an int32.
var sums = []protoreflect.FullName{
	"trivet.usage.v1.UsageTotal", "trivet.billing.v1.UsageSummary", "trivet.billing.v1.UsageRow",
	"trivet.auth.v1.ReconcileResponse", "trivet.billing.v1.ReconcileResponse",
}

// JSON shows an int64 as text. It is for money and for sums over time.
func TestLargeIntegersAreMoneyOrSums(t *testing.T) {
	money := regexp.MustCompile(`(_nano_usd|_nano_usd_per_million_tokens|_minor_units)$`)
	between := regexp.MustCompile(`_micros$`) // times of a call, which only services tell one another
	eachField(func(f protoreflect.FieldDescriptor) {
		switch f.Kind() {
		case protoreflect.Int64Kind, protoreflect.Uint64Kind, protoreflect.Sint64Kind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
			if !slices.Contains(sums, f.Parent().FullName()) && !between.MatchString(string(f.Name())) {
				require.Regexp(t, money, f.Name(), f.FullName())
			}
		default:
			require.NotRegexp(t, money, f.Name(), "%s is money, which is an int64", f.FullName())
		}
	})
}

var field = regexp.MustCompile(`(?m)((?:^ +// .*\n)+)^ +(?:optional |repeated )?([\w.]+|map<[\w, .]+>) (\w+) = \d+`)

// The pages of /docs show these comments: a field's meaning, its bounds, and a value that could stand there.
func TestFieldsHaveExamples(t *testing.T) {
	scalars := []string{"string", "int32", "int64", "bool", "double", "float", "bytes", "google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.Struct"}
	root := filepath.Join("..", "proto", "trivet")
	seen := 0
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".proto" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range field.FindAllStringSubmatch(string(text), -1) {
			seen++
			if slices.Contains(scalars, m[2]) && !strings.HasSuffix(m[3], "page_token") { // tokens are opaque
				require.Contains(t, m[1], "Example", "%s: %s needs an example value in its comment", d.Name(), m[3])
			}
		}
		return nil
	}))
	require.Greater(t, seen, 200)
}
