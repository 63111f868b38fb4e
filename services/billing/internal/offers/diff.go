package offers

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/trivet-dev/trivet/services/billing/internal/money"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// ChangeKind is what a change does.
type ChangeKind int

// The kinds.
const (
	Create ChangeKind = iota + 1
	Update
	Archive
)

// Change is one difference between the file and what was applied.
type Change struct {
	Kind ChangeKind
	// ID is the type and the id, such as "plan:pro".
	ID string
	// Field, Before and After are set for an Update.
	Field, Before, After string
}

// diff lists the fields in which an offer differs from its version on sale.
func diff(current *Row, w Row) []Change {
	if current == nil {
		return []Change{{Kind: Create, ID: w.key()}}
	}
	before, after := fieldsOf(current.Spec), fieldsOf(w.Spec)
	var names []string
	for name := range before {
		names = append(names, name)
	}
	for name := range after {
		if _, known := before[name]; !known {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var changes []Change
	for _, name := range names {
		if before[name] != after[name] {
			changes = append(changes, Change{Kind: Update, ID: w.key(), Field: name, Before: before[name], After: after[name]})
		}
	}
	return changes
}

// Differences lists the fields in which two versions of a plan differ.
func Differences(from, to plans.Plan) ([]Change, error) {
	before, err := json.Marshal(from)
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(to)
	if err != nil {
		return nil, err
	}
	return diff(&Row{Kind: KindPlan, ID: from.ID, Spec: before}, Row{Kind: KindPlan, ID: to.ID, Spec: after}), nil
}

// fieldsOf returns the fields of a version as the plan file writes them.
func fieldsOf(spec []byte) map[string]string {
	decoder := json.NewDecoder(bytes.NewReader(spec))
	decoder.UseNumber()
	var tree map[string]any
	if decoder.Decode(&tree) != nil {
		return nil
	}
	fields := map[string]string{}
	flatten("", tree, fields)
	return fields
}

func flatten(prefix string, tree map[string]any, into map[string]string) {
	for name, value := range tree {
		switch v := value.(type) {
		case map[string]any:
			flatten(prefix+name+".", v, into)
		case []any:
			items := make([]string, 0, len(v))
			for _, item := range v {
				text, _ := item.(string)
				items = append(items, text)
			}
			into[prefix+name] = strings.Join(items, ", ")
		case json.Number:
			into[prefix+name] = number(prefix+name, v)
		case bool:
			into[prefix+name] = strconv.FormatBool(v)
		case string:
			into[prefix+name] = v
		}
	}
}

// amounts are the fields that the file writes in dollars.
var amounts = []string{
	"price", "yearly_price", "included_credit", "credit", "trial.credit", "overage.cap", "auto_top_up.max_threshold", "auto_top_up.monthly_cap",
}

func number(field string, n json.Number) string {
	amount, err := n.Int64()
	if err != nil || !slices.Contains(amounts, field) {
		return n.String()
	}
	return strings.TrimPrefix(money.Format(amount), "$")
}
