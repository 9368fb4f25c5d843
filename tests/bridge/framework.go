package main

import (
	"context"
	"encoding/json"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	providerschema "github.com/hashicorp/terraform-plugin-framework/provider/schema"
	frameworkresource "github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/boolplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// newFramework serves the types that terraform-provider-aws writes with the plugin framework.
func newFramework(ctx context.Context, types []resourceType) (pulumirpc.ResourceProviderServer, error) {
	terraform := &frameworkProvider{}
	info := tfbridge.ProviderInfo{
		Name:         "aws",
		Version:      "7.0.0",
		Resources:    map[string]*tfbridge.ResourceInfo{},
		MetadataInfo: tfbridge.NewProviderMetadata([]byte("{}")),
	}
	for _, each := range types {
		if each.Framework {
			terraform.types = append(terraform.types, each)
			info.Resources[each.Terraform] = &tfbridge.ResourceInfo{
				Tok:              tokens.Type(each.Token),
				PreCheckCallback: each.preCheck,
				Fields:           map[string]*tfbridge.SchemaInfo{},
			}
		}
	}
	info.P = pf.ShimProvider(terraform)
	return pf.NewProviderServer(ctx, nil, info, pf.ProviderMetadata{PackageSchema: []byte("{}")})
}

type frameworkProvider struct{ types []resourceType }

func (p *frameworkProvider) Metadata(
	_ context.Context, _ provider.MetadataRequest, response *provider.MetadataResponse,
) {
	response.TypeName = "aws"
}

func (p *frameworkProvider) Schema(_ context.Context, _ provider.SchemaRequest, response *provider.SchemaResponse) {
	response.Schema = providerschema.Schema{
		Attributes: map[string]providerschema.Attribute{"region": providerschema.StringAttribute{Optional: true}},
	}
}

func (p *frameworkProvider) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {
}

func (p *frameworkProvider) DataSources(context.Context) []func() datasource.DataSource { return nil }

func (p *frameworkProvider) Resources(context.Context) []func() frameworkresource.Resource {
	var resources []func() frameworkresource.Resource
	for _, each := range p.types {
		resources = append(resources, func() frameworkresource.Resource { return &frameworkResource{each} })
	}
	return resources
}

type frameworkResource struct{ resourceType }

func (r *frameworkResource) Metadata(
	_ context.Context, _ frameworkresource.MetadataRequest, response *frameworkresource.MetadataResponse,
) {
	response.TypeName = r.Terraform
}

func (r *frameworkResource) Schema(
	_ context.Context, _ frameworkresource.SchemaRequest, response *frameworkresource.SchemaResponse,
) {
	attributes, blocks := partsOf(r.resourceType.Schema)
	if r.Regional {
		attributes["region"] = attributeOf("string optional computed forceNew")
	}
	response.Schema = schema.Schema{Attributes: attributes, Blocks: blocks}
}

func (r *frameworkResource) Create(
	context.Context, frameworkresource.CreateRequest, *frameworkresource.CreateResponse,
) {
}

func (r *frameworkResource) Read(context.Context, frameworkresource.ReadRequest, *frameworkresource.ReadResponse) {
}

func (r *frameworkResource) Update(
	context.Context, frameworkresource.UpdateRequest, *frameworkresource.UpdateResponse,
) {
}

func (r *frameworkResource) Delete(
	context.Context, frameworkresource.DeleteRequest, *frameworkresource.DeleteResponse,
) {
}

func partsOf(text json.RawMessage) (map[string]schema.Attribute, map[string]schema.Block) {
	var byName map[string]json.RawMessage
	must(json.Unmarshal(text, &byName))
	delete(byName, "")
	attributes, blocks := map[string]schema.Attribute{}, map[string]schema.Block{}
	for name, description := range byName {
		var text string
		if json.Unmarshal(description, &text) == nil {
			attributes[name] = attributeOf(text)
			continue
		}
		inner, nested := partsOf(description)
		object := schema.NestedBlockObject{Attributes: inner, Blocks: nested}
		var parts map[string]json.RawMessage
		must(json.Unmarshal(description, &parts))
		var own string
		must(json.Unmarshal(parts[""], &own))
		var validators []validator.List
		if _, flags := words(own); flags["maxItems"] == "1" { // from its words the bridge knows that it is one object
			validators = append(validators, listvalidator.SizeAtMost(1))
		}
		blocks[name] = schema.ListNestedBlock{NestedObject: object, Validators: validators}
	}
	return attributes, blocks
}

// attributeOf reads an attribute. One that is computed and left out keeps the value of the state, as
// terraform-provider-aws has it: UseStateForUnknown, or a plan modifier of its own that comes to the same.
func attributeOf(text string) schema.Attribute {
	kind, flags := words(text)
	required, optional, computed := has(flags, "required"), has(flags, "optional"), has(flags, "computed")
	switch kind {
	case "int":
		return schema.Int64Attribute{
			Required: required, Optional: optional, Computed: computed,
			PlanModifiers: chosen(computed, has(flags, "forceNew"),
				int64planmodifier.UseStateForUnknown(), int64planmodifier.RequiresReplace()),
		}
	case "bool":
		return schema.BoolAttribute{
			Required: required, Optional: optional, Computed: computed,
			PlanModifiers: chosen(computed, has(flags, "forceNew"),
				boolplanmodifier.UseStateForUnknown(), boolplanmodifier.RequiresReplace()),
		}
	case "list":
		return schema.ListAttribute{ElementType: types.StringType, Required: required, Optional: optional}
	case "map":
		return schema.MapAttribute{ElementType: types.StringType, Optional: optional}
	}
	return schema.StringAttribute{
		Required: required, Optional: optional, Computed: computed,
		PlanModifiers: chosen(computed, has(flags, "forceNew"),
			stringplanmodifier.UseStateForUnknown(), stringplanmodifier.RequiresReplace()),
	}
}

func chosen[M planmodifier.Describer](computed, forceNew bool, keep, replace M) []M {
	var modifiers []M
	if computed {
		modifiers = append(modifiers, keep)
	}
	if forceNew {
		modifiers = append(modifiers, replace)
	}
	return modifiers
}
