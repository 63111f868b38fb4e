package stripe

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// maxExpansion is how many levels Stripe expands.
const maxExpansion = 4

// maxEmbedded is how many rows the API shows of a list that is part of an object; the rest has an endpoint of its own.
const maxEmbedded = 10

// shown is an object, or a list of some, as the API shows it: without what it hides unless it is asked to expand it, and
// with no more of the lists in it than the API shows there.
func shown(object any) any {
	switch o := object.(type) {
	case Subscription:
		o.Items = o.Items.embedded()
		return o
	case Invoice:
		o.Lines = o.Lines.embedded()
		return o
	case list[Subscription]:
		return shownList(o)
	case list[Invoice]:
		return shownList(o)
	}
	return whole(object)
}

func shownList[T any](l list[T]) list[any] {
	out := list[any]{Object: l.Object, Data: make([]any, len(l.Data)), HasMore: l.HasMore, URL: l.URL}
	for i, row := range l.Data {
		out.Data[i] = shown(row)
	}
	return out
}

// whole is an object without what the API hides.
func whole(object any) any {
	switch o := object.(type) {
	case Price:
		o.Tiers = nil
		return o
	case Customer:
		if o.Deleted {
			return deletedObject{o.ID, "customer", true}
		}
	case checkout:
		return o.Session
	}
	return object
}

// tree is an object as decoded JSON. Numbers stay as they are written.
func tree(object any) map[string]any {
	raw, err := json.Marshal(object)
	if err != nil {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	out := map[string]any{}
	if dec.Decode(&out) != nil {
		return nil
	}
	return out
}

// expand answers an object, or a list, with the objects that the request asks for in the place of their identifiers.
func (f *Fake) expand(object any, paths []string) (any, *apiError) {
	if len(paths) == 0 {
		return object, nil
	}
	root := tree(object)
	for _, path := range paths {
		steps := strings.Split(path, ".")
		levels := len(steps)
		if steps[0] == "data" {
			levels--
		}
		if levels > maxExpansion {
			return nil, invalidRequest("expand", "", "You cannot expand more than 4 levels of a property. Property: "+path)
		}
		if !f.expandIn(root, steps) {
			return nil, invalidRequest("expand", "", "This property cannot be expanded ("+path+").")
		}
	}
	return root, nil
}

func (f *Fake) expandIn(at any, steps []string) bool {
	if len(steps) == 0 {
		return true
	}
	switch node := at.(type) {
	case []any:
		for _, item := range node {
			if !f.expandIn(item, steps) {
				return false
			}
		}
		return true
	case map[string]any:
		return f.expandField(node, steps)
	}
	return false
}

func (f *Fake) expandField(node map[string]any, steps []string) bool {
	field := steps[0]
	value, there := node[field]
	if !there {
		value = f.hidden(node, field)
		if value == nil {
			return false
		}
		node[field] = value
	}
	switch v := value.(type) {
	case nil:
		return true
	case string:
		find, known := f.references()[field]
		if !known {
			return false
		}
		object := find(v)
		if object == nil {
			return true // it has been deleted since
		}
		node[field] = tree(shown(object))
	case map[string]any, []any:
	default:
		return false
	}
	return f.expandIn(node[field], steps[1:])
}

// hidden returns a field that the API shows only when it is expanded, or nil.
func (f *Fake) hidden(node map[string]any, field string) any {
	id, _ := node["id"].(string)
	kind, _ := node["object"].(string)
	switch kind + "." + field {
	case "price.tiers":
		p, _ := f.prices.Get(id)
		return tree(struct {
			Tiers []Tier `json:"tiers"`
		}{p.Tiers})["tiers"]
	case "customer.subscriptions":
		all := f.subscriptions.All(func(s Subscription) bool { return s.Customer == id && !s.over() })
		slices.Reverse(all)
		rows := make([]any, len(all))
		for i, s := range all {
			rows[i] = shown(s)
		}
		return tree(counted(rows, "/v1/customers/"+id+"/subscriptions").embedded())
	case "checkout.session.line_items":
		co, _ := f.checkouts.Get(id)
		return tree(counted(co.Lines, "/v1/checkout/sessions/"+id+"/line_items").embedded())
	case "charge.refunds":
		all := f.refunds.All(func(r Refund) bool { return r.Charge == id })
		slices.Reverse(all)
		return tree(counted(all, "/v1/charges/"+id+"/refunds").embedded())
	}
	return nil
}

// references returns how to find the object that a field names.
func (f *Fake) references() map[string]func(id string) any {
	price := func(id string) any { return row(f.prices.Get(id)) }
	charge := func(id string) any { return row(f.charges.Get(id)) }
	invoice := func(id string) any { return row(f.invoices.Get(id)) }
	method := func(id string) any { return row(f.methods.Get(id)) }
	return map[string]func(string) any{
		"customer":               func(id string) any { return row(f.customers.Get(id)) },
		"product":                func(id string) any { return row(f.products.Get(id)) },
		"default_price":          price,
		"price":                  price,
		"charge":                 charge,
		"latest_charge":          charge,
		"invoice":                invoice,
		"latest_invoice":         invoice,
		"payment_method":         method,
		"default_payment_method": method,
		"payment_intent":         func(id string) any { return row(f.intents.Get(id)) },
		"setup_intent":           func(id string) any { return row(f.setups.Get(id)) },
		"subscription":           func(id string) any { return row(f.subscriptions.Get(id)) },
		"schedule":               func(id string) any { return row(f.schedules.Get(id)) },
		"test_clock":             func(id string) any { return row(f.clocks.Get(id)) },
	}
}

// row is the row, or nil for an unknown id.
func row[T any](v T, ok bool) any {
	if !ok {
		return nil
	}
	return v
}
