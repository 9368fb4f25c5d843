package main

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	awspolicy "github.com/hashicorp/awspolicyequivalence"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/structure"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// newSDK serves the types that terraform-provider-aws writes with the plugin SDK.
func newSDK(ctx context.Context, types []resourceType) pulumirpc.ResourceProviderServer {
	terraform := &schema.Provider{
		Schema:       map[string]*schema.Schema{"region": {Type: schema.TypeString, Optional: true}},
		ResourcesMap: map[string]*schema.Resource{},
	}
	info := tfbridge.ProviderInfo{
		Name:                           "aws",
		Version:                        "7.0.0",
		Resources:                      map[string]*tfbridge.ResourceInfo{},
		EnableZeroDefaultSchemaVersion: true, // as pulumi-aws
	}
	for _, each := range types {
		if !each.Framework {
			terraform.ResourcesMap[each.Terraform] = &schema.Resource{Schema: each.fields()}
			info.Resources[each.Terraform] = each.info()
		}
	}
	info.P = shimv2.NewProvider(terraform)
	return tfbridge.NewProvider(ctx, nil, "aws", info.Version, info.P, info, []byte("{}"))
}

func (t resourceType) info() *tfbridge.ResourceInfo {
	info := &tfbridge.ResourceInfo{
		Tok:                 tokens.Type(t.Token),
		DeleteBeforeReplace: t.DeleteBeforeReplace,
		PreCheckCallback:    t.preCheck,
		Fields:              map[string]*tfbridge.SchemaInfo{},
	}
	for name, field := range t.fields() {
		if field.StateFunc != nil { // a document: pulumi-aws accepts an object too (provider/resource_overrides.go)
			info.Fields[name] = &tfbridge.SchemaInfo{Type: "string", Transform: tfbridge.TransformJSONDocument}
		}
	}
	if auto := t.AutoName; auto != nil {
		info.Fields[auto.Field] = tfbridge.AutoName(auto.Property, auto.Longest, "-")
		if auto.Lower {
			info.Fields[auto.Field] = tfbridge.AutoNameTransform(auto.Property, auto.Longest, strings.ToLower)
		}
	}
	return info
}

func (t resourceType) fields() map[string]*schema.Schema {
	fields := fieldsOf(t.Schema)
	if t.Tags {
		fields["tags"] = fieldOf("map optional")
		fields["tags_all"] = fieldOf("map optional computed")
	}
	if t.Regional {
		fields["region"] = fieldOf("string optional computed forceNew")
	}
	return fields
}

func fieldsOf(text json.RawMessage) map[string]*schema.Schema {
	var byName map[string]json.RawMessage
	must(json.Unmarshal(text, &byName))
	fields := map[string]*schema.Schema{}
	for name, description := range byName {
		var text string
		if json.Unmarshal(description, &text) == nil {
			fields[name] = fieldOf(text)
		} else {
			fields[name] = blockOf(description)
		}
	}
	return fields
}

// blockOf reads a nested block: an object whose field "" describes the block itself.
func blockOf(text json.RawMessage) *schema.Schema {
	var byName map[string]json.RawMessage
	must(json.Unmarshal(text, &byName))
	var own string
	must(json.Unmarshal(byName[""], &own))
	delete(byName, "")
	rest, err := json.Marshal(byName)
	must(err)
	block := fieldOf(own)
	block.Elem = &schema.Resource{Schema: fieldsOf(rest)}
	return block
}

var kinds = map[string]schema.ValueType{
	"string": schema.TypeString, "int": schema.TypeInt, "float": schema.TypeFloat, "bool": schema.TypeBool,
	"list": schema.TypeList, "set": schema.TypeSet, "map": schema.TypeMap,
}

func fieldOf(text string) *schema.Schema {
	kind, flags := words(text)
	field := &schema.Schema{
		Type:     kinds[kind],
		Required: has(flags, "required"),
		Optional: has(flags, "optional"),
		Computed: has(flags, "computed"),
		ForceNew: has(flags, "forceNew"),
	}
	if kind == "list" || kind == "set" || kind == "map" {
		field.Elem = &schema.Schema{Type: schema.TypeString}
	}
	if most, given := flags["maxItems"]; given {
		number, err := strconv.Atoi(most)
		must(err)
		field.MaxItems = number
	}
	if value, given := flags["default"]; given {
		field.Default = defaultOf(kind, value)
	}
	switch {
	case has(flags, "policy"):
		field.DiffSuppressFunc = samePolicy
	case has(flags, "json"):
		field.DiffSuppressFunc = structure.SuppressJsonDiff
	case has(flags, "keptWhenLeftOut"): // verify.SuppressMissingOptionalConfigurationBlock
		field.DiffSuppressFunc = func(_, old, new string, _ *schema.ResourceData) bool { return old == "1" && new == "0" }
	}
	if has(flags, "policy") || has(flags, "json") {
		field.StateFunc = func(value any) string {
			normal, _ := structure.NormalizeJsonString(value)
			return normal
		}
	}
	return field
}

// samePolicy is terraform-provider-aws's verify.SuppressEquivalentPolicyDiffs.
func samePolicy(_, old, new string, _ *schema.ResourceData) bool {
	same, err := awspolicy.PoliciesAreEquivalent(old, new)
	return err == nil && same
}

func defaultOf(kind, value string) any {
	switch kind {
	case "bool":
		return value == "true"
	case "int":
		number, err := strconv.Atoi(value)
		must(err)
		return number
	case "float":
		number, err := strconv.ParseFloat(value, 64)
		must(err)
		return number
	}
	return value
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
