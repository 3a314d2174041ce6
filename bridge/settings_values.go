package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"lamplighter/internal/commission"
)

// Settings as people write them: by names, choices by their titles. The engine has
// them by keys (commission/api_settings.go). Whether a value may be is the schema's
// and the devices' to say.

// tree is settings by name, as a site file or --set has them.
type tree = map[string]any

// put sets the value at a path such as scenes/3/level.
func put(t tree, path string, value any) error {
	names := strings.Split(path, "/")
	for _, name := range names[:len(names)-1] {
		switch next := t[name].(type) {
		case nil:
			inner := tree{}
			t[name], t = inner, inner
		case tree:
			t = next
		default:
			return fmt.Errorf("%s is given as a whole and in parts", path)
		}
	}
	last := names[len(names)-1]
	if slices.Contains(names, "") {
		return fmt.Errorf("%q is no name of a setting such as min-level or scenes/3/level", path)
	}
	if _, is := t[last]; is {
		return fmt.Errorf("%s is given twice", path)
	}
	t[last] = value
	return nil
}

// assign reads name=value pairs into t.
func assign(t tree, pairs []string) error {
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("%q is not name=value", pair)
		}
		if err := put(t, name, value); err != nil {
			return err
		}
	}
	return nil
}

// byKeys gives settings as the engine has them.
func byKeys(defs []commission.SettingDef, values tree) (map[string]any, error) {
	out := map[string]any{}
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v, d := values[name], named(defs, name)
		if d == nil {
			wrong = append(wrong, fmt.Errorf("there is no setting %q; there are: %s", name, strings.Join(settingNames(defs), ", ")))
			continue
		}
		value, err := valueOf(d, v)
		if _, twice := out[strconv.Itoa(d.Key)]; twice && err == nil {
			err = fmt.Errorf("it is given twice, also as %d", d.Key)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", name, err))
			continue
		}
		out[strconv.Itoa(d.Key)] = value
	}
	return out, errors.Join(wrong...)
}

// named finds a definition by its name or its key.
func named(defs []commission.SettingDef, name string) *commission.SettingDef {
	for i := range defs {
		if defs[i].Name == name || strconv.Itoa(defs[i].Key) == name {
			return &defs[i]
		}
	}
	return nil
}

func settingNames(defs []commission.SettingDef) (names []string) {
	for _, d := range defs {
		names = append(names, d.Name)
	}
	return names
}

// valueOf reads one value. Texts come from the command line for all types; what has
// a variable in it is the template's to expand.
func valueOf(d *commission.SettingDef, v any) (any, error) {
	if text, ok := v.(string); v == nil || ok && strings.Contains(text, "${") {
		return v, nil
	}
	switch d.Type {
	case "map":
		return mapOf(d, v)
	case "text", "bytes":
		switch v.(type) {
		case string, uint64, int64:
			return fmt.Sprint(v), nil
		}
		return nil, errors.New("a text is expected; put it in quotation marks")
	case "bool":
		return boolOf(v)
	case "choice":
		for _, c := range d.Choices {
			if text, ok := v.(string); ok && strings.EqualFold(c.Title, text) {
				return c.Value, nil
			}
		}
		n, err := intOf(v)
		if err != nil {
			return nil, fmt.Errorf("%w; give one of: %s", err, strings.Join(titles(d), ", "))
		}
		return n, nil
	}
	return intOf(v)
}

func titles(d *commission.SettingDef) (all []string) {
	for _, c := range d.Choices {
		all = append(all, fmt.Sprintf("%d %s", c.Value, c.Title))
	}
	return all
}

func mapOf(d *commission.SettingDef, v any) (any, error) {
	if v == "{}" {
		v = tree{}
	}
	values, ok := v.(tree)
	if !ok {
		return nil, errors.New("it has parts: give them by their names, such as scenes/3/level")
	}
	if d.IDs == nil {
		return byKeys(d.Members, values)
	}
	out := map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(values)) {
		entry := values[id]
		if _, err := strconv.ParseUint(id, 10, 16); err != nil {
			return nil, fmt.Errorf("%q is no number from %d to %d", id, d.IDs[0], d.IDs[1])
		}
		inner, ok := entry.(tree)
		switch {
		case entry == nil:
			out[id] = nil
		case !ok:
			return nil, fmt.Errorf("%s has parts: %s", id, strings.Join(settingNames(d.Members), ", "))
		default:
			members, err := byKeys(d.Members, inner)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", id, err)
			}
			out[id] = members
		}
	}
	return out, nil
}

func boolOf(v any) (any, error) {
	switch v := v.(type) {
	case bool:
		return v, nil
	case string:
		switch strings.ToLower(v) {
		case "true", "on", "yes":
			return true, nil
		case "false", "off", "no":
			return false, nil
		}
	}
	return nil, errors.New("it is neither true nor false")
}

func intOf(v any) (any, error) {
	switch v.(type) {
	case string, uint64, int64, float64:
		n, err := strconv.ParseInt(fmt.Sprint(v), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%v is no whole number", v)
		}
		return n, nil
	}
	return nil, errors.New("a whole number is expected")
}

// shown is a value as people read it: by names, and with its unit.
func shown(d *commission.SettingDef, v any) string {
	if v == nil {
		return "-"
	}
	if m, ok := v.(map[string]any); ok {
		return shownMap(d, m)
	}
	text := fmt.Sprint(v)
	if f, ok := v.(float64); ok {
		text = strconv.FormatFloat(f, 'f', -1, 64)
	}
	if d == nil {
		return printable(text)
	}
	for _, c := range d.Choices {
		if strconv.FormatInt(c.Value, 10) == text {
			return printable(c.Title)
		}
	}
	switch {
	case d.Type == "text":
		return strconv.Quote(text)
	case d.Unit != "":
		return text + " " + printable(d.Unit)
	}
	return text
}

func shownMap(d *commission.SettingDef, m map[string]any) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, k := range keys {
		inner, name := d, k
		if d != nil && (d.IDs == nil || !isMap(m[k])) {
			if inner = named(d.Members, k); inner != nil {
				name = inner.Name
			}
		}
		parts = append(parts, name+": "+shown(inner, m[k]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func isMap(v any) bool { _, ok := v.(map[string]any); return ok }
