using System.Reflection;

namespace Slipway.Data;

/// <summary>
/// The migrations of one module: embedded resources <c>Migrations/0001_name.sql</c> of <paramref name="Assembly"/>, applied in
/// number order, each in its own transaction, forward only (expand/contract).
/// </summary>
/// <param name="Module">Short name in the <c>schema_migration</c> table, such as <c>tenancy</c>. Never changes.</param>
public sealed record MigrationModule(string Module, Assembly Assembly);
