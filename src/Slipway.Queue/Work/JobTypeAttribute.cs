namespace Slipway.Queue;

/// <summary>The job type of an argument type, where that is not to be its name: a class may then be renamed while jobs of it wait.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Struct)]
public sealed class JobTypeAttribute(string name) : Attribute
{
    /// <summary>1–100 printable ASCII characters without blanks and braces.</summary>
    public string Name => name;
}
