package ace

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lamplighter/internal/cbor"
)

// ErrParameter says that a group configuration has parameters that are not known
// or not of their type, beside what could be read.
var ErrParameter = errors.New("unusable parameters")

// Configuration is a group configuration, or the part of one that a message
// carries: to create, overwrite, update or filter with, and in the answers.
// draft-ietf-ace-oscore-gm-admin-17 ("GMA"), Sections 5.1 and 7.
//
// What may be null is so where its mode is not used; a group without a
// description has null for it.
type Configuration struct {
	HKDF         Param[AlgorithmID]  `cbor:"-1,keyasint,omitzero"` // by its HMAC
	CredFmt      Param[int]          `cbor:"-2,keyasint,omitzero"` // COSE Header Parameters
	GroupMode    Param[bool]         `cbor:"-3,keyasint,omitzero"`
	GpEncAlg     Param[AlgorithmID]  `cbor:"-4,keyasint,omitzero"` // null without group mode
	SignAlg      Param[AlgorithmID]  `cbor:"-5,keyasint,omitzero"` // null without group mode
	SignParams   Param[Capabilities] `cbor:"-6,keyasint,omitzero"` // null without group mode
	PairwiseMode Param[bool]         `cbor:"-7,keyasint,omitzero"`
	Alg          Param[AlgorithmID]  `cbor:"-8,keyasint,omitzero"`  // null without pairwise mode
	ECDHAlg      Param[AlgorithmID]  `cbor:"-9,keyasint,omitzero"`  // null without pairwise mode
	ECDHParams   Param[Capabilities] `cbor:"-10,keyasint,omitzero"` // null without pairwise mode
	DetReq       Param[bool]         `cbor:"-25,keyasint,omitzero"` // with both modes only
	DetHashAlg   Param[AlgorithmID]  `cbor:"-26,keyasint,omitzero"` // with DetReq only

	RT               Param[string]        `cbor:"-11,keyasint,omitzero"` // ResourceTypeGroupConf
	Active           Param[bool]          `cbor:"-12,keyasint,omitzero"`
	GroupName        Param[Pattern]       `cbor:"-13,keyasint,omitzero"` // a name; in a filter a pattern too
	GroupDescription Param[string]        `cbor:"-14,keyasint,omitzero"` // null: none
	MaxStaleSets     Param[uint64]        `cbor:"-15,keyasint,omitzero"`
	GIDReuse         Param[bool]          `cbor:"-16,keyasint,omitzero"`
	AppGroups        Param[[]string]      `cbor:"-17,keyasint,omitzero"`
	JoiningURI       Param[string]        `cbor:"-18,keyasint,omitzero"`
	ASURI            Param[string]        `cbor:"-19,keyasint,omitzero"`
	Profile          Param[int]           `cbor:"10,keyasint,omitzero"` // ProfileCoAPGroupOSCOREApp
	EXP              Param[uint64]        `cbor:"11,keyasint,omitzero"` // seconds since 1970
	Policies         Param[AdminPolicies] `cbor:"16,keyasint,omitzero"`

	AppGroupsDiff Param[AppGroupsDiff] `cbor:"-28,keyasint,omitzero"` // in updates only
}

// AppGroupsDiff takes application groups off a group's list and adds others. GMA,
// Section 6.7.
//
//	app_groups_diff = [ app_groups_del: [ * tstr ], app_groups_add: [ * tstr ] ]
type AppGroupsDiff struct {
	_      struct{} `cbor:",toarray"`
	Delete []string
	Add    []string
}

// MarshalCBOR writes an empty array for a list that is nil.
func (d AppGroupsDiff) MarshalCBOR() ([]byte, error) {
	return cbor.Marshal([2][]string{append([]string{}, d.Delete...), append([]string{}, d.Add...)})
}

// field is one parameter of a configuration.
type field struct {
	label    int
	name     string
	value    parameter
	nullable bool
}

// fields lists all parameters in the order of GMA, Section 5.1.
func (c *Configuration) fields() []field {
	return []field{
		{AdminHKDF, "hkdf", &c.HKDF, false},
		{AdminCredFmt, "cred_fmt", &c.CredFmt, false},
		{AdminGroupMode, "group_mode", &c.GroupMode, false},
		{AdminGpEncAlg, "gp_enc_alg", &c.GpEncAlg, true},
		{AdminSignAlg, "sign_alg", &c.SignAlg, true},
		{AdminSignParams, "sign_params", &c.SignParams, true},
		{AdminPairwiseMode, "pairwise_mode", &c.PairwiseMode, false},
		{AdminAlg, "alg", &c.Alg, true},
		{AdminECDHAlg, "ecdh_alg", &c.ECDHAlg, true},
		{AdminECDHParams, "ecdh_params", &c.ECDHParams, true},
		{AdminDetReq, "det_req", &c.DetReq, false},
		{AdminDetHashAlg, "det_hash_alg", &c.DetHashAlg, false},
		{AdminRT, "rt", &c.RT, false},
		{AdminActive, "active", &c.Active, false},
		{AdminGroupName, "group_name", &c.GroupName, false},
		{AdminGroupDescription, "group_description", &c.GroupDescription, true},
		{GroupcommProfile, "ace_groupcomm_profile", &c.Profile, false},
		{AdminMaxStaleSets, "max_stale_sets", &c.MaxStaleSets, false},
		{GroupcommEXP, "exp", &c.EXP, false},
		{AdminGIDReuse, "gid_reuse", &c.GIDReuse, false},
		{AdminAppGroups, "app_groups", &c.AppGroups, false},
		{AdminJoiningURI, "joining_uri", &c.JoiningURI, false},
		{GroupcommGroupPolicies, "group_policies", &c.Policies, false},
		{AdminASURI, "as_uri", &c.ASURI, false},
		{AdminAppGroupsDiff, "app_groups_diff", &c.AppGroupsDiff, false},
	}
}

// DecodeConfiguration reads a group configuration. When parameters are not known
// or not of their type the error wraps [ErrParameter] and names them, and what
// could be read is returned beside it: whether the rest is supported is to be
// looked at first (GMA, Section 6.3). Any other error wraps [ErrDecode].
func DecodeConfiguration(data []byte) (*Configuration, error) {
	c := new(Configuration)
	items, err := labelled(data)
	if err != nil {
		return nil, err
	}
	var wrong []string
	for _, f := range c.fields() {
		item, ok := items[f.label]
		if !ok {
			continue
		}
		delete(items, f.label)
		if f.value.UnmarshalCBOR(item) != nil || isNull(item) && !f.nullable {
			f.value.clear()
			wrong = append(wrong, f.name)
		}
	}
	for label := range items {
		wrong = append(wrong, fmt.Sprint(label))
	}
	if wrong != nil {
		slices.Sort(wrong)
		return c, fmt.Errorf("%w: %s", ErrParameter, strings.Join(wrong, ", "))
	}
	return c, nil
}

// maxParameters bounds what an error names.
const maxParameters = 64

// labelled reads a map whose labels are integers.
func labelled(data []byte) (map[int]cbor.RawMessage, error) {
	if len(data) == 0 || data[0]>>5 != cbor.Map {
		return nil, fmt.Errorf("%w: no map", ErrDecode)
	}
	var items map[int]cbor.RawMessage
	if err := cbor.Unmarshal(data, &items); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDecode, err)
	}
	if len(items) > maxParameters {
		return nil, fmt.Errorf("%w: %d parameters", ErrDecode, len(items))
	}
	return items, nil
}

// Only returns the parameters that have one of the labels. GMA, Section 6.5.
func (c Configuration) Only(labels []int) Configuration {
	for _, f := range c.fields() {
		if !slices.Contains(labels, f.label) {
			f.value.clear()
		}
	}
	return c
}

// Labels lists the labels of the parameters that are present.
func (c Configuration) Labels() []int {
	var labels []int
	for _, f := range c.fields() {
		if !f.value.IsZero() {
			labels = append(labels, f.label)
		}
	}
	return labels
}

// IsZero reports whether there are no parameters.
func (c Configuration) IsZero() bool { return c.Labels() == nil }

// Equal reports whether both have the same parameters with the same values.
func (c Configuration) Equal(other Configuration) bool {
	return bytes.Equal(Encode(c), Encode(other))
}

// With returns c with the parameters of other in place of its own.
func (c Configuration) With(other Configuration) Configuration {
	mine := c.fields()
	for i, f := range other.fields() {
		if !f.value.IsZero() {
			_ = mine[i].value.UnmarshalCBOR(Encode(f.value))
		}
	}
	return c
}

// Matches reports whether a configuration has the values that a filter gives.
// The group's name and its application groups, whose order says nothing, are left
// out. GMA, Section 6.2.
func (c Configuration) Matches(filter Configuration) bool {
	mine := c.fields()
	for i, f := range filter.fields() {
		if f.value.IsZero() || f.label == AdminGroupName || f.label == AdminAppGroups {
			continue
		}
		if mine[i].value.IsZero() || !bytes.Equal(Encode(mine[i].value), Encode(f.value)) {
			return false
		}
	}
	return true
}

// ConfFilter is the payload of FETCH to a group configuration: the labels of the
// parameters that are asked for. GMA, Section 6.5.
type ConfFilter struct {
	Labels []int `cbor:"-27,keyasint"`
}

// DecodeConfFilter reads a [ConfFilter]. The error wraps [ErrDecode].
func DecodeConfFilter(data []byte) (*ConfFilter, error) {
	items, err := labelled(data)
	if err != nil {
		return nil, err
	}
	var labels Param[[]int]
	if item, ok := items[AdminConfFilter]; !ok || len(items) != 1 || labels.UnmarshalCBOR(item) != nil || labels.Null {
		return nil, fmt.Errorf("%w: conf_filter alone is needed", ErrDecode)
	}
	return &ConfFilter{labels.Value}, nil
}
