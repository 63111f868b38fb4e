package clerk

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// claims is the payload of a token.
type claims map[string]any

// addOrganization adds pla, fea and o as version 2 of Clerk's tokens writes them.
func (c claims) addOrganization(spec TokenSpec, o Organization, role string) error {
	scope := "u"
	if spec.Org != "" {
		scope = "o"
	}
	c["pla"] = scope + ":" + cmp.Or(spec.Plan, "free")
	c["fea"] = ""
	if spec.Org == "" {
		return nil
	}
	encoded, err := encodePermissions(spec.Permissions)
	if err != nil {
		return err
	}
	org := map[string]any{"id": o.ID, "slg": o.Slug, "rol": strings.TrimPrefix(role, "org:")}
	if len(spec.Permissions) > 0 {
		c["fea"] = encoded.features
		org["per"], org["fpm"] = encoded.permissions, encoded.mapping
	}
	c["o"] = org
	return nil
}

// encoded is Clerk's short form of permissions: per feature a number whose bits stand for the permissions.
type encoded struct{ features, permissions, mapping string }

func encodePermissions(list []string) (encoded, error) {
	var features, names []string
	has := map[[2]string]bool{}
	for _, p := range list {
		parts := strings.Split(p, ":")
		if len(parts) != 3 || parts[0] != "org" || parts[1] == "" || parts[2] == "" || strings.Contains(p, ",") {
			return encoded{}, invalid("permissions", "form_param_format_invalid", `must look like "org:feature:permission".`)
		}
		if !slices.Contains(features, parts[1]) {
			features = append(features, parts[1])
		}
		if !slices.Contains(names, parts[2]) {
			names = append(names, parts[2])
		}
		has[[2]string{parts[1], parts[2]}] = true
	}
	if len(names) > 62 {
		return encoded{}, invalid("permissions", "form_param_format_invalid", "must not have more than 62 different names.")
	}
	var scoped, masks []string
	for _, feature := range features {
		mask := int64(0)
		for bit, name := range names {
			if has[[2]string{feature, name}] {
				mask |= 1 << bit
			}
		}
		scoped = append(scoped, "o:"+feature)
		masks = append(masks, strconv.FormatInt(mask, 10))
	}
	return encoded{strings.Join(scoped, ","), strings.Join(names, ","), strings.Join(masks, ",")}, nil
}
