/** `$(NAME)` in commands, arguments and values, as Kubernetes expands it. @module */

/**
 * Replaces `$(NAME)` by the variable's value; leaves it if there is none. `$$` stands for one `$`,
 * so that `$$(NAME)` becomes `$(NAME)`.
 */
export function expand(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replaceAll(/\$(\$|\(([^)]*)\))/g, (whole, escaped: string, name?: string) => {
    if (escaped === "$") return "$";
    return variables.get(name ?? "") ?? whole;
  });
}
