"""Helpers for parsed CloudFormation templates."""


def of_type(template, resource_type):
    """Return the properties of all resources of a type, by logical ID."""
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == resource_type
    }


def with_stage(value, stage):
    """Resolve `!Ref Stage` and `!Sub ...${Stage}...`, with the default value of CallbackPrefix."""
    match value:
        case {"Ref": "Stage"}:
            return stage
        case {"Fn::Sub": text}:
            return text.replace("${Stage}", stage).replace("${CallbackPrefix}", "")
        case _:
            return value
