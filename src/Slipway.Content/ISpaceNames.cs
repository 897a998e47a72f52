namespace Slipway.Content;

/// <summary>A feature that owns spaces tells operators what they are called.</summary>
public interface ISpaceNames
{
    /// <summary>Such as <c>org/cache</c>; null when the space is none of the feature's.</summary>
    string? NameOf(Guid owner);
}
