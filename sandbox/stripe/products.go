package stripe

import (
	"slices"
	"strconv"
	"unicode/utf8"
)

// Product is Stripe's product object, with the fields that the sandbox keeps.
type Product struct {
	ID                  string            `json:"id"`
	Object              string            `json:"object"`
	Active              bool              `json:"active"`
	Created             int64             `json:"created"`
	DefaultPrice        *string           `json:"default_price"`
	Description         *string           `json:"description"`
	Features            []Feature         `json:"features"`
	Images              []string          `json:"images"`
	Livemode            bool              `json:"livemode"`
	Metadata            map[string]string `json:"metadata"`
	Name                string            `json:"name"`
	PackageDimensions   *struct{}         `json:"package_dimensions"`
	Shippable           *bool             `json:"shippable"`
	StatementDescriptor *string           `json:"statement_descriptor"`
	TaxCode             *string           `json:"tax_code"`
	Type                string            `json:"type"`
	UnitLabel           *string           `json:"unit_label"`
	Updated             int64             `json:"updated"`
	URL                 *string           `json:"url"`
}

// Feature is one line of a product's pricing table.
type Feature struct {
	Name string `json:"name"`
}

// maxProductID bounds an identifier that a caller chooses, in bytes.
const maxProductID = 255

// newProduct makes a product under the identifier in a form, or under a new one.
func (f *Fake) newProduct(data *form) (Product, *apiError) {
	id, _ := data.text("id")
	if id == "" {
		id = f.ids.Next("prod_", 14)
	}
	_, taken := f.products.Get(id)
	switch {
	case taken:
		return Product{}, invalidRequest(data.path("id"), "resource_already_exists", "Product already exists.")
	case id == "." || id == ".." || slices.Contains(subResources, id) || len(id) > maxProductID || !utf8.ValidString(id):
		return Product{}, invalidRequest(data.path("id"), "", "Invalid id: "+strconv.Quote(id)+" cannot stand in the path of a request.")
	}
	return Product{
		ID: id, Object: "product", Active: true, Created: f.now(), Updated: f.now(), Features: []Feature{}, Images: []string{}, Type: "service",
	}, nil
}

func (f *Fake) createProduct(c *call) (any, *apiError) {
	p, bad := f.newProduct(c.form)
	if bad != nil {
		return nil, bad
	}
	p.Type = c.form.oneOf("type", p.Type, "service", "good")
	if name, _ := c.form.text("name"); name == "" {
		return nil, missingParam("name")
	}
	var price *Price
	if data := c.form.child("default_price_data"); data != nil {
		made := f.newPrice(p.ID)
		if bad := readPrice(data, &made); bad != nil {
			return nil, bad
		}
		price = &made
		p.DefaultPrice = &made.ID
	}
	if bad := readProduct(c.form, &p); bad != nil {
		return nil, bad
	}
	if bad := save(f, f.products, p.ID, p, "product.created"); bad != nil {
		return nil, bad
	}
	if price != nil {
		if bad := save(f, f.prices, price.ID, *price, "price.created"); bad != nil {
			return nil, bad
		}
	}
	return p, nil
}

func readProduct(form *form, p *Product) *apiError {
	if name, ok := form.text("name"); ok {
		if name == "" {
			return invalidRequest("name", "parameter_invalid_empty", "You passed an empty string for 'name'. We assume empty values are an attempt "+
				"to unset a parameter; however 'name' cannot be unset.")
		}
		p.Name = name
	}
	form.boolean("active", &p.Active)
	for key, field := range map[string]**string{
		"description": &p.Description, "statement_descriptor": &p.StatementDescriptor, "tax_code": &p.TaxCode, "unit_label": &p.UnitLabel, "url": &p.URL,
	} {
		form.optional(key, field)
	}
	if images := form.strings("images"); images != nil {
		p.Images = images
	}
	if features := form.list("features"); features != nil {
		p.Features = []Feature{}
		for _, item := range features {
			name, _ := item.text("name")
			p.Features = append(p.Features, Feature{name})
		}
	}
	if _, sent := form.text("shippable"); sent {
		p.Shippable = new(bool)
		form.boolean("shippable", p.Shippable)
	}
	p.Metadata = form.metadata(p.Metadata)
	return form.done()
}

func (f *Fake) product(id, param string) (Product, *apiError) {
	p, ok := f.products.Get(id)
	if !ok {
		return Product{}, noSuch("product", param, id)
	}
	return p, nil
}

func (f *Fake) getProduct(c *call) (any, *apiError) {
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(f.product(c.id, "id"))
}

func (f *Fake) updateProduct(c *call) (any, *apiError) {
	p, bad := f.product(c.id, "id")
	if bad != nil {
		return nil, bad
	}
	if id, ok := c.form.text("default_price"); ok {
		p.DefaultPrice = nil
		if id != "" {
			price, exists := f.prices.Get(id)
			if !exists || price.Product != p.ID {
				return nil, noSuchParam("price", "default_price", id)
			}
			p.DefaultPrice = &id
		}
	}
	p.Updated = f.now()
	if bad := readProduct(c.form, &p); bad != nil {
		return nil, bad
	}
	return p, save(f, f.products, p.ID, p, "product.updated")
}

func (f *Fake) deleteProduct(c *call) (any, *apiError) {
	p, bad := f.product(c.id, "id")
	if bad != nil {
		return nil, bad
	}
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	if _, used := f.prices.Find(func(price Price) bool { return price.Product == p.ID }); used {
		return nil, invalidRequest("", "", "This product cannot be deleted because it has one or more user-created prices.")
	}
	if bad := stored(f.products.Delete(p.ID)); bad != nil {
		return nil, bad
	}
	f.emit("product.deleted", p.ID, p)
	return deletedObject{p.ID, "product", true}, nil
}

func (f *Fake) listProducts(c *call) (any, *apiError) {
	page, created := c.form.cursor(), c.form.within("created")
	_, byActive := c.form.values["active"]
	var active bool
	c.form.boolean("active", &active)
	ids := c.form.strings("ids")
	url, byURL := c.form.text("url")
	if bad := c.form.done(); bad != nil {
		return nil, bad
	}
	return asAny(paginate(f.products, page, "product", "/v1/products", func(p Product) string { return p.ID }, func(p Product) bool {
		return created(p.Created) && (!byActive || p.Active == active) && (ids == nil || slices.Contains(ids, p.ID)) && (!byURL || orEmpty(p.URL) == url)
	}))
}
